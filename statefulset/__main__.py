"""`safe-control`: what runs beside the nodes in a cluster. Wiring only; each action imports what it needs.

Why it exists: one program for what speaks to the Kubernetes API on the store's behalf.
What it refuses to do: take a setting from the command line; they are SAFE_* variables.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from importlib.metadata import version

ACTIONS = {"identity": "statefulset.identity.start", "run": "statefulset.controller.run"}


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
