"""`safe-control`: what runs beside the nodes in a cluster. Wiring only; each action imports what it needs.

Why it exists: one program for what speaks to the Kubernetes API on the store's behalf.
What it refuses to do: take a setting from the command line; they are SAFE_* variables.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib.metadata import version


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
    parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level="INFO", format="safe-control: %(message)s")
    try:
        from statefulset.identity import start
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        sys.exit(f"safe-control: the {package} package is missing; install raftsafe[control]")
    sys.exit(start.run(os.environ))


if __name__ == "__main__":
    main()
