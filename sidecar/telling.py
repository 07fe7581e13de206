"""Telling the application: a signal to a process of the pod, or an HTTP request to the pod itself.

Why it exists: a program that reads its files once wants to be told. Processes of other containers are seen where the
pod has `shareProcessNamespace: true`
(https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/).
What it refuses to do: signal itself or process 1 of anything by number, choose among strangers of one name (it takes
the root of each family: a master, not its workers), or run a shell.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Final

import msgpack

from sidecar import errand
from sidecar.errand import ErrandError
from sidecar.rules import Notify

SLACK: Final = 2.0
"""Seconds beyond the request's own timeout for its process to start and end."""
MAX_PID: Final = 1 << 22
_COMM: Final = 15
"""Characters that the kernel keeps of a process's name, proc(5)."""


async def tell(rule: Notify) -> str:
    """ "" if the application was told, else why not, in one line."""
    if rule.kind == "signal":
        return send_signal(rule.what, rule.target)
    request: bytes = msgpack.packb([rule.what, rule.target, rule.timeout])
    try:
        answer = msgpack.unpackb(await errand.run("sidecar.http_request", request, rule.timeout + SLACK))
    except ErrandError as error:
        return f"{rule.what} {rule.target}: {error}"
    return answer if isinstance(answer, str) else ""


def send_signal(name: str, target: str, proc: str = "/proc") -> str:
    """ "" or why not. `target`: a process name, or the absolute path of a pid file."""
    number = signal.Signals[f"SIG{name}"]
    if target.startswith("/"):
        pid = read_pid(target)
        if pid <= 1 or pid == os.getpid():
            return f"{target} does not hold the number of a process"
        found = [pid]
    else:
        found = roots(target, proc)
    if not found:
        return f"no process {target} is seen; does the pod share its process namespace?"
    failures = [error for pid in found if (error := _send(pid, number))]
    return f"{name} to {target}: {failures[0]}" if failures else ""


def _send(pid: int, number: signal.Signals) -> str:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return str(error.strerror)
    try:
        signal.pidfd_send_signal(descriptor, number)
    except OSError as error:
        return str(error.strerror)
    finally:
        os.close(descriptor)
    return ""


def read_pid(path: str) -> int:
    """The number in a pid file, 0 if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # the application may have put a FIFO there
        try:
            text = os.read(descriptor, 32).strip()
        finally:
            os.close(descriptor)
    except OSError:
        return 0
    return int(text) if text.isdigit() and int(text) <= MAX_PID else 0


def roots(name: str, proc: str = "/proc") -> list[int]:
    """Processes of that name whose parent has another name, and which are not ourselves."""
    parents = dict(_named(name, proc))
    return sorted(pid for pid, parent in parents.items() if parent not in parents and pid != os.getpid())


def _named(name: str, proc: str) -> Iterator[tuple[int, int]]:
    """(pid, parent) of each process whose name, or whose program's file name, is this. Who ends meanwhile is left out.

    Some fifteen microseconds a process of the pod, in the loop."""
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        try:
            with open(f"{proc}/{entry}/stat", encoding="utf-8", errors="replace") as file:
                head, _, rest = file.read().rpartition(")")
            state, parent = rest.split()[:2]
            comm = head.partition("(")[2]
            same = (comm == name and len(name) <= _COMM) or _program(f"{proc}/{entry}") == name
        except (OSError, ValueError):
            continue
        if same and state not in "ZX":
            yield int(entry), int(parent)


def _program(folder: str) -> str:
    """The file name of argv[0]; some programs (nginx: master process ...) write a sentence there, whose first word,
    without the colon, counts."""
    with open(f"{folder}/cmdline", "rb") as file:
        first = file.read(4096).partition(b"\0")[0].decode("utf-8", "replace")
    return first.partition(" ")[0].rstrip(":").rpartition("/")[2]
