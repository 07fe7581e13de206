"""`safe-control`: what runs beside the nodes in a cluster. Wiring only; each action imports what it needs.

Why it exists: one program for what speaks to the Kubernetes API on the store's behalf.
What it refuses to do: take a setting from the command line; they are SAFE_* variables.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import logging
import os
import resource
import sys
from importlib.metadata import version

PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
ACTIONS = {"identity": "statefulset.identity.start", "run": "statefulset.controller.run"}


def conceal() -> list[str]:
    """No core dump, no look into our memory by another process of the same user (prctl(2)), no swap (mlockall(2)):
    `identity` holds the root key for a moment, `run` a token of the API server. Returns what could not be had."""
    missing = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        missing.append("PR_SET_DUMPABLE")
    # Under a limit the call may succeed now, and an allocation fail for it later.
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if not unlimited or libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        missing.append("mlockall (RLIMIT_MEMLOCK): use machines without swap, as Kubernetes does by default")
    return missing


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="safe-control",
        description="What runs beside the nodes of a raftsafe cluster. Settings come from SAFE_* variables.",
    )
    parser.add_argument("--version", action="version", version=f"safe-control {version('raftsafe')}")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser(
        "identity", help="make the identity of the store once for all pods, or fetch it (init container)"
    )
    actions.add_parser("run", help="the admission webhook and the controller, until SIGTERM")
    action = parser.parse_args().action
    logging.basicConfig(stream=sys.stderr, level="INFO", format="safe-control: %(message)s")
    for what in conceal():
        logging.getLogger("control").warning("not available here: %s", what)
    # One line a request to the store, at the level at which ours are: not for a log that people read.
    logging.getLogger("httpx").setLevel("WARNING")
    try:
        chosen = importlib.import_module(ACTIONS[action])
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        sys.exit(f"safe-control: the {package} package is missing; install raftsafe[control]")
    sys.exit(chosen.run(os.environ))


if __name__ == "__main__":
    main()
