"""Child processes of a benchmark, spoken to in lines of JSON: one question, one answer.

Why it exists: every node is a process of its own, with its own interpreter and modules.
What it refuses to do: leave one running. A child dies with this process, and ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from statefulset.cli.dev import folders
from statefulset.cli.dev.processes import bound

HERE = Path(__file__).parent
HOST = "127.0.0.1"
PATIENCE = 120.0
TAIL = 20


class BenchError(Exception):
    """The benchmark itself went wrong: no figure can be given."""


class Child:
    """`python -m MODULE`, with `options` as its only argument. Its standard error goes to `log`."""

    def __init__(self, module: str, options: Mapping[str, Any], log: Path) -> None:
        self.module, self.log = module, log
        self.started = time.monotonic()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                bound([sys.executable, "-m", module, json.dumps(options)]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=HERE,
                bufsize=0,
            )

    def ask(self, do: str, timeout: float = PATIENCE, **more: Any) -> dict[str, Any]:
        """Raises BenchError if there is no answer in time, or the answer is an error."""
        self.tell(do, **more)
        return self.answer(timeout)

    def tell(self, do: str, **more: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # answer() says why
            self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")

    def answer(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """One line of the child. Raises BenchError."""
        assert self.process.stdout is not None
        deadline, line = time.monotonic() + timeout, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                raise self.trouble("ended" if ready else f"did not answer in {timeout:g} s")
            line += piece
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise self.trouble(found["error"])
        return found

    def trouble(self, what: str) -> BenchError:
        tail = self.log.read_text("utf-8", "replace").splitlines()[-TAIL:]
        return BenchError("\n".join([f"{self.module} (process {self.process.pid}): {what}", *tail]))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, timeout: float = 10.0) -> None:
        """Close its standard input and wait; SIGKILL after `timeout`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def disk() -> Iterator[Path]:
    """A folder of our own that is not in memory, so that an fsync means something; removed at the end."""
    usual = tempfile.gettempdir()
    places = [place for place in (usual, "/var/tmp") if folders.file_system(Path(place)) not in folders.MEMORY]
    with tempfile.TemporaryDirectory(prefix="raftsafe-bench-", dir=(places or [usual])[0]) as path:
        yield Path(path)


def free_ports(count: int) -> list[int]:
    """Ports on loopback that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def stop_all(children: Mapping[str, Child]) -> None:
    """End them side by side."""
    for child in children.values():
        assert child.process.stdin is not None
        with contextlib.suppress(OSError):
            child.process.stdin.close()
    for child in children.values():
        child.stop()
