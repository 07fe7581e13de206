"""`safe-node`: runs one node, or makes the identity of a new cluster.

Why it exists: the process around node.app: command line, logging, signals, and what a process holding secrets does to
itself first (no core dumps, no debugger, no swap if the limit allows it).
What it refuses to do: start with settings that cannot work; the line says which and why.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from node import audit, settings
from node.clock import Clock, SystemClock
from node.errors import Fatal, SafeError
from node.sink import AppendFile, Output, Stream

PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
# Seconds that whoever reads the audit lines gets for the last of them.
AUDIT_TIMEOUT = 2.0
STOPPED_BY_FAULT = 70  # EX_SOFTWARE: restart me, and look at the log


def harden() -> list[str]:
    """Keep memory from leaving this process by core dump, ptrace or swap. Returns what could not be had."""
    missing = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        missing.append("PR_SET_DUMPABLE")
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if not unlimited or libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        missing.append("mlockall (RLIMIT_MEMLOCK): use nodes without swap, as Kubernetes does by default")
    return missing


def set_up_logging(level: str) -> None:
    """Log lines to stderr."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def set_up_audit(loaded: settings.Settings, clock: Clock) -> None:
    """Audit lines, JSON already, to stdout and the file that was asked for. Raises Fatal without a root key."""
    from node.crypto.rootkey import RootKey

    # The descriptor and not sys.stdout: a stuck reader would hold that one's lock, and with it the end of the process.
    streams: dict[str, Stream] = {"standard output": Output(sys.stdout.fileno())}
    if loaded.audit_file is not None:
        streams["SAFE_AUDIT_FILE"] = AppendFile(loaded.audit_file)
    audit.install(loaded.name, RootKey.load(loaded.identity_dir).audit_key, streams, clock)


async def serve() -> None:
    from node.app import App

    loaded = settings.load(os.environ)
    set_up_logging(loaded.log_level)
    clock = SystemClock()
    set_up_audit(loaded, clock)
    for what in harden():
        logging.getLogger("node").warning("not available here: %s", what)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await App(loaded, clock).run(stop)


def init_identity(folder: Path, cluster: str) -> None:
    from node.crypto.rootkey import create_identity

    made = create_identity(folder, cluster)
    print(f"{'made' if made else 'kept'} {folder}", file=sys.stderr)  # noqa: T201 - a command's answer


def show_identity(folder: Path) -> None:
    from node.crypto.identity import describe

    print(json.dumps(describe(folder)))  # noqa: T201 - a command's answer


def show_audit_key(folder: Path) -> None:
    from node.crypto.rootkey import RootKey

    # The one key that is ever printed: it opens nothing, and `safe audit verify --key` needs it.
    print(RootKey.load(folder).audit_key.hex())  # noqa: T201 - a command's answer


def serving_certificate() -> None:
    from node.crypto.serving import filter_text

    print(filter_text(sys.stdin.read(1 << 16)))  # noqa: T201 - a filter's output


def remedy(error: OSError) -> str:
    """For the first start on volumes made by hand: the kubelet gives those of kind hostPath to nobody (fsGroup)."""
    if not isinstance(error, PermissionError):
        return ""
    who = f"{os.getuid()}:{os.getgid()}"
    return (
        f"\nhint: this process is user {who} and must be able to write there; chown {who} the folder behind a hostPath"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="safe-node",
        description="Runs one node of a raftsafe cluster. Settings come from SAFE_* variables; see node/DESIGN.md.",
    )
    actions = parser.add_subparsers(dest="action")
    identity = actions.add_parser("init-identity", help="make root key and certificate authorities, once")
    identity.add_argument("folder", type=Path)
    identity.add_argument("--cluster", default="raftsafe")
    shown = actions.add_parser("show-identity", help="check an identity and say, as JSON, which one it is")
    shown.add_argument("folder", type=Path)
    verifying = actions.add_parser("audit-key", help="print the key of the audit log's chain; it opens nothing")
    verifying.add_argument("folder", type=Path)
    actions.add_parser("serving-certificate", help="a filter: names and authority in, a certificate out, as JSON")
    options = parser.parse_args()
    code = 0
    try:
        if options.action == "init-identity":
            init_identity(options.folder, options.cluster)
        elif options.action == "show-identity":
            show_identity(options.folder)
        elif options.action == "audit-key":
            show_audit_key(options.folder)
        elif options.action == "serving-certificate":
            serving_certificate()
        else:
            uvloop.run(serve())
    except SafeError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(f"safe-node: {error.message}{hint}", file=sys.stderr)  # noqa: T201 - the last line of the log
        code = STOPPED_BY_FAULT if isinstance(error, Fatal) else 1
    except ModuleNotFoundError as missing:
        # The plain install is the sidecar's: two packages and no node.
        package = (missing.name or "").partition(".")[0]
        print(f"safe-node: the {package} package is missing; install raftsafe[node]", file=sys.stderr)  # noqa: T201
        code = 1
    except OSError as error:
        print(f"safe-node: {error}{remedy(error)}", file=sys.stderr)  # noqa: T201
        code = 1
    if not audit.uninstall(AUDIT_TIMEOUT):
        print("safe-node: the last audit lines could not be written", file=sys.stderr)  # noqa: T201
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread that waits for a disk which never answers must not keep a finished node from restarting.
    os._exit(code)


if __name__ == "__main__":
    main()
