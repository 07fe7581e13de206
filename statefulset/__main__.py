"""`safe-control`: what runs beside the nodes in a cluster. Wiring only; each action imports what it needs.

Why it exists: one program for what speaks to the Kubernetes API on the store's behalf.
What it refuses to do: take a setting from the command line; they are SAFE_* variables.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import logging
import os
import resource
import sys
from importlib.metadata import version

PR_SET_DUMPABLE = 4
ACTIONS = {"identity": "statefulset.identity.start", "run": "statefulset.controller.run"}


def conceal() -> None:
    """No core dump and no look into our memory by another process of the same user (prctl(2)): `identity` holds the
    root key for a moment, `run` a token of the API server."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


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
    conceal()
    logging.basicConfig(stream=sys.stderr, level="INFO", format="safe-control: %(message)s")
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
