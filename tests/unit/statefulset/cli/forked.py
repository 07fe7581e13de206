"""`safe` as a process, many times for the price of one start: a process that has imported it forks itself for each run.

Why it exists: to start Python and import what `safe` uses takes twice as long as what it is asked here, and these tests
run it some hundred times. What runs is the command's own `main`, in a process of its own, with the arguments, environment
and standard files of that run, to its exit code.
What it refuses to do: stand for the start. Tests of that, of terminals and of shells start `python -m statefulset.cli`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[4]
UNUSED = ("dev", "chaos")
"""Commands that are not run like this."""


class Forking:
    """The process that forks. Whoever makes one must `stop` it; it ends with this process in any case."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}, cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def run(
        self, args: Sequence[str], stdin: bytes, env: Mapping[str, str], seconds: float = 120
    ) -> tuple[int, bytes, bytes]:
        """Exit code (negative: of a signal), standard output and error. Raises TimeoutError."""
        ours, theirs = socket.socketpair()
        source, sink = os.pipe()
        with ours, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                socket.send_fds(self._control, [b"."], [source, out.fileno(), err.fileno(), theirs.fileno()])
            os.close(source)
            ours.settimeout(seconds)
            ours.sendall(json.dumps([list(args), dict(env)]).encode())
            ours.shutdown(socket.SHUT_WR)
            feeding = threading.Thread(target=_feed, args=(sink, stdin))
            feeding.start()
            with ours.makefile("r") as told:
                process = int(told.readline())
                try:
                    code = int(told.readline())
                except TimeoutError:
                    os.kill(process, signal.SIGKILL)
                    raise
                finally:
                    feeding.join(seconds)
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def stop(self) -> None:
        self._control.close()
        self._process.wait(30)


def _feed(sink: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(sink, "wb") as file:  # who does not read it has ended
        file.write(data)


@functools.cache
def forking() -> Forking:
    """The one of this process."""
    made = Forking()
    atexit.register(made.stop)
    return made


def _serve(control: socket.socket) -> list[str]:
    """Returns in the process of a run, which is ready to begin: its arguments."""
    while True:
        data, files, _, _ = socket.recv_fds(control, 1, 4)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            break
        for each in files:
            os.close(each)
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answer = socket.socket(fileno=files[3])
    if process := os.fork():
        for each in files[:3]:
            os.close(each)
        answer.sendall(b"%d\n" % process)
        _, status = os.waitpid(process, 0)
        answer.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    with answer, answer.makefile("r") as asked:
        args, env = json.loads(asked.read())
    for number, each in enumerate(files[:3]):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(env)
    return list(args)


def _main() -> None:
    from statefulset.cli import __main__, group

    for name, target in group.COMMANDS.items():
        if name not in UNUSED:
            importlib.import_module(target.partition(":")[0])
    importlib.import_module("statefulset.cli.client")
    gc.freeze()  # or each run collects at its end what all of them share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    __main__.main()


if __name__ == "__main__":
    _main()
