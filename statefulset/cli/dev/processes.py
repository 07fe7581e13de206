"""Starts processes, watches them, and makes sure that none is left.

Why it exists: what the kubelet does for containers, as far as a development cluster needs it: an unexpected death is
noticed and mended after a pause that grows; a stop is asked for first and enforced after.
What it refuses to do: end a process that it did not start, or lose sight of one that it did.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from statefulset.cli.dev import child
from statefulset.cli.dev.signals import shield

TICK: Final = 0.1
DELAY: Final = 1.0
DELAY_MAX: Final = 10.0
"""Seconds before a process that died is started again: the first time, and at most when it keeps dying."""
LIVED: Final = 30.0
"""Seconds after which a process counts as healthy, and the delay starts anew."""
GRACE: Final = 4.0
"""Seconds between SIGTERM and SIGKILL at the end."""
LOG_MAX: Final = 2 << 20
LOG_KEPT: Final = 1 << 20
"""Logs are in memory: past the first size all but the second is dropped."""
TAIL: Final = 64 << 10


@dataclasses.dataclass(frozen=True)
class Program:
    """What to run. `argv[0]` is a path; output of both kinds is appended to `log`; `cwd` is made if it is gone."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    cwd: Path


def bound(argv: Iterable[str]) -> list[str]:
    """The command line that runs `argv` so that it dies with this process."""
    return [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), *argv]


class Process:
    """One program, running or not. `wanted` is False from the moment that its end is our own doing."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.wanted = False
        self.starts = 0
        self.started_at = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the last start; 0 before the first."""
        return self._popen.pid if self._popen else 0

    @property
    def code(self) -> int | None:
        """Exit code of the last start (minus the signal, if one ended it), None while it runs."""
        return self._popen.poll() if self._popen else None

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Raises OSError."""
        assert not self.alive
        program = self.program
        program.cwd.mkdir(mode=0o700, exist_ok=True)  # a node whose volume was wiped begins with an empty one
        with program.log.open("ab") as log:
            self._popen = subprocess.Popen(
                bound(program.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(program.env),
                cwd=program.cwd,
                start_new_session=True,  # Ctrl-C of a terminal reaches us alone; we end the others in order
            )
        self.wanted, self.started_at, self.starts = True, time.monotonic(), self.starts + 1

    def signal(self, number: int) -> None:
        """Nothing happens if it has ended; the number is never sent to a process that took over the id."""
        if self._popen is not None:
            self._popen.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within `timeout` seconds."""
        if self._popen is None:
            return True
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tail(self, lines: int = 20, without: str = "") -> list[str]:
        """The last lines of its log, leaving out those that hold `without`."""
        try:
            with self.program.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                found = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        return [line for line in found if not without or without not in line][-lines:]

    def how_it_ended(self) -> str:
        code = self.code
        if code is None:
            return "is running"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"exited with code {code}"


class Supervisor:
    """Every process of one cluster. `restart`: start again what dies by itself. `said` gets one line an event."""

    def __init__(self, said: Callable[[str], None], *, restart: bool) -> None:
        self._teller = said
        self._restart = restart
        self._processes: dict[str, Process] = {}
        self._lock = threading.RLock()
        self._due: dict[str, float] = {}  # name -> when to start it again
        self._delays: dict[str, float] = {}  # name -> how long it waited last time
        self._deaths: list[str] = []
        self._stopping = False
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None
        self._chores: list[Callable[[], object]] = []
        self.pids: list[int] = []

    def __getitem__(self, name: str) -> Process:
        return self._processes[name]

    def names(self) -> list[str]:
        return list(self._processes)

    def every_second(self, chore: Callable[[], object]) -> None:
        """Have `chore` called from the watching thread. It may raise OSError, which is told and not fatal."""
        self._chores.append(chore)

    def start(self, program: Program) -> Process:
        """Raises OSError; RuntimeError if a process of this name runs."""
        with self._lock:
            known = self._processes.get(program.name)
            if known is not None and known.alive:
                raise RuntimeError(f"{program.name} runs already")
            process = self._processes[program.name] = Process(program)
            self._launch(process)
            return process

    def again(self, name: str) -> Process:
        """Start a process that has ended once more. Raises OSError."""
        with self._lock:
            process = self._processes[name]
            self._due.pop(name, None)
            if not process.alive:
                self._launch(process)
            return process

    def _launch(self, process: Process) -> None:
        with shield():
            process.start()
            self.pids.append(process.pid)

    def end(self, name: str, number: int = signal.SIGKILL, timeout: float = 20.0) -> float:
        """Send a signal that ends it, on purpose, and wait. Returns the monotonic time of the signal.

        Raises TimeoutError if it goes on running.
        """
        with self._lock:
            process = self._processes[name]
            process.wanted = False
            self._due.pop(name, None)
            at = time.monotonic()
            process.signal(number)
        if not process.wait(timeout):
            raise TimeoutError(f"{name} did not end within {timeout:g} s of {signal.Signals(number).name}")
        return at

    def forget(self, name: str) -> None:
        """Drop a process that has ended."""
        with self._lock:
            assert not self._processes[name].alive
            del self._processes[name]

    def deaths(self) -> list[str]:
        """Names of processes that died by themselves since the last call."""
        with self._lock:
            self._tick(time.monotonic())
            out, self._deaths = self._deaths, []
        return out

    def sessions(self) -> frozenset[int]:
        """The sessions of all it has started, for those who look for what is left in them. Each child leads one, and
        its number is free for others only when nobody is left in it: one whose number another process has is over."""
        own = {process.pid for process in self._processes.values() if process.alive}
        return frozenset(pid for pid in self.pids if pid in own or not Path(f"/proc/{pid}").exists())

    def _said(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more: no reason to stop watching
            self._teller(line)

    # -- watching ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Begin to watch, in a thread. It outlives what it starts: the kernel ends a process with the thread that
        started it."""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = 0.0
        while not self._finished.wait(TICK):
            now = time.monotonic()
            with self._lock:
                self._tick(now)
            if now - last >= 1.0:
                last = now
                self._do_chores()

    def _do_chores(self) -> None:
        for chore in (*self._chores, self._trim):
            try:
                chore()
            except OSError as error:
                self._said(f"a chore failed: {error.strerror}")

    def _tick(self, now: float) -> None:
        if self._stopping:
            return
        for name, process in self._processes.items():
            if process.wanted and not process.alive:
                process.wanted = False
                self._deaths.append(name)
                self._died(now, name, process)
        for name, at in list(self._due.items()):
            if now >= at:
                self._revive(now, name)

    def _died(self, now: float, name: str, process: Process) -> None:
        if not self._restart:
            self._said(f"{name} {process.how_it_ended()}")
            return
        before = 0.0 if now - process.started_at >= LIVED else self._delays.get(name, 0.0)
        delay = self._delays[name] = min(before * 2, DELAY_MAX) or DELAY
        self._due[name] = now + delay
        self._said(f"{name} {process.how_it_ended()}; it starts again in {delay:g} s")

    def _revive(self, now: float, name: str) -> None:
        del self._due[name]
        try:
            self._launch(self._processes[name])
        except OSError as error:
            self._due[name] = now + DELAY_MAX
            self._said(f"{name} cannot be started: {error.filename}: {error.strerror}")
            return
        self._said(f"{name} is started again (process {self._processes[name].pid})")

    def _trim(self) -> None:
        for process in list(self._processes.values()):
            trim(process.program.log)

    # -- the end -----------------------------------------------------------------------------------------------------

    def stop(self, order: Iterable[Iterable[str]], grace: float = GRACE) -> None:
        """End every process: group by group, the rest last; SIGTERM first, SIGKILL for what is left after `grace`."""
        with self._lock:
            self._stopping = True
            self._due.clear()
        groups = [[name for name in group if name in self._processes] for group in order]
        named = {name for group in groups for name in group}
        for group in (*groups, [name for name in self._processes if name not in named]):
            self._stop_group([self._processes[name] for name in group], grace)
        self._finished.set()
        if self._thread is not None:
            self._thread.join()

    @staticmethod
    def _stop_group(processes: list[Process], grace: float) -> None:
        deadline = time.monotonic() + grace
        for process in processes:
            process.wanted = False
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGCONT)
        for process in processes:
            if not process.wait(max(0.0, deadline - time.monotonic())):
                process.signal(signal.SIGKILL)
        for process in processes:
            process.wait(30)


def trim(path: Path, limit: int = LOG_MAX, kept: int = LOG_KEPT) -> None:
    """Cut a log that its process has open for appending down to its last `kept` bytes. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= limit:
            return
        file.seek(size - kept)
        data = file.read()
        file.seek(0)
        file.write(data)
        file.truncate()
