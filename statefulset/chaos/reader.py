"""A process that reads the files of many pods again and again, as their applications would.

    python -m statefulset.chaos.reader '{"pods": {NAME: {"mount": PATH, "secrets": {"ns/name": [FIELD, ...]}}}}'

Each sweep reads every file of every pod once and begins 20 ms after the one before, or at once if that one took longer;
how long sweeps were is part of the result. SIGTERM ends it. With `"out": FILE` it then writes what it saw there;
without, it says what is new as one line of JSON a pod and second, for statefulset.chaos.tally.
When a set was put in place is not guessed from the sweep: renaming `..data` sets the link's change time, on the clock
of this machine, exact to a tick of the kernel (at most 10 ms early).
What it refuses to do: look at anything but the files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from typing import Any, Final

from statefulset.chaos.judge import Pod

PERIOD: Final = 0.02
MAX_FILE: Final = 1 << 16
TOLD: Final = 50
"""Violations written out; all of them are counted."""


def read(path: str, folder: int | None = None) -> bytes | None:
    """The whole file, None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, MAX_FILE)
    finally:
        os.close(descriptor)


class Mount:
    """One pod: opens what an application opens, a folder of several fields once for all of them."""

    def __init__(self, pod: Pod, mount: str) -> None:
        self.pod = pod
        self._data = f"{mount}/..data"
        self._paths = {secret: f"{mount}/{secret.partition('/')[2]}" for secret in pod.secrets}
        self._had = False
        self.reads = 0

    def look(self) -> None:
        """Every file once; `reads` counts them."""
        if not self._had and not os.path.lexists(self._data):
            return
        for secret, fields in self.pod.secrets.items():
            began = time.monotonic()
            path = self._paths[secret]
            found = [read(path)] if fields == ("value",) else self._fields(path, fields)
            took = time.monotonic() - began
            self.reads += len(fields)
            self.pod.look(secret, found, took, self._placed(), time.time())

    @staticmethod
    def _fields(path: str, fields: tuple[str, ...]) -> list[bytes | None]:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return [None] * len(fields)
        try:
            return [read(field, folder) for field in fields]
        finally:
            os.close(folder)

    def _placed(self) -> float:
        try:
            self._had, status = True, os.lstat(self._data)
        except FileNotFoundError:
            self.pod.gone("..data", time.time())
            return time.time()
        return status.st_ctime_ns / 1e9


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Teller:
    """Says what is new of each pod since it last did. Lines are numbered: a log may lose its beginning."""

    def __init__(self, mounts: list[Mount]) -> None:
        self._mounts = mounts
        self._shown = [dict.fromkeys(mount.pod.secrets, 0) for mount in mounts]
        self._violated = [0] * len(mounts)
        self._lines = 0

    def tell(self, sweeps: int) -> None:
        for number, mount in enumerate(self._mounts):
            pod, shown = mount.pod, self._shown[number]
            fresh = {secret: seen[shown[secret] :] for secret, seen in pod.seen.items() if len(seen) > shown[secret]}
            self._lines += 1
            line = {
                "n": self._lines,
                "pod": pod.name,
                "at": time.time(),
                "seen": fresh,
                "violations": [dataclasses.asdict(each) for each in pod.violations[self._violated[number] : TOLD]],
                "violated": len(pod.violations),
                "reads": mount.reads,
                "sweeps": sweeps,
                "discarded": pod.discarded,
            }
            sys.stdout.write(json.dumps(line) + "\n")
            self._shown[number] = {secret: len(seen) for secret, seen in pod.seen.items()}
            self._violated[number] = len(pod.violations)
        sys.stdout.flush()


def main() -> None:
    options = json.loads(sys.argv[1])
    known: dict[bytes, int] = {}
    mounts = [
        Mount(Pod(name, {key: tuple(fields) for key, fields in pod["secrets"].items()}, known), pod["mount"])
        for name, pod in options["pods"].items()
    ]
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    teller = None if "out" in options else Teller(mounts)
    sweeps: list[float] = []
    timeline = [(time.time(), 0)]
    while not stopped:
        began = time.monotonic()
        for mount in mounts:
            mount.look()
        if time.time() - timeline[-1][0] >= 1.0:
            timeline.append((time.time(), sum(mount.reads for mount in mounts)))
            if teller is not None:
                teller.tell(len(sweeps))
        time.sleep(max(0.0, began + PERIOD - time.monotonic()))
        sweeps.append(time.monotonic() - began)
    timeline.append((time.time(), sum(mount.reads for mount in mounts)))
    if teller is not None:
        teller.tell(len(sweeps))
    else:
        write(options["out"], [mount.pod for mount in mounts], sorted(sweeps), timeline)


def write(out: str, pods: list[Pod], sweeps: list[float], timeline: list[tuple[float, int]]) -> None:
    violations = [violation for pod in pods for violation in pod.violations]
    found: dict[str, Any] = {
        "seen": {pod.name: pod.seen for pod in pods},
        "violations": [dataclasses.asdict(each) for each in violations[:TOLD]],
        "violated": len(violations),
        "discarded": sum(pod.discarded for pod in pods),
        "timeline": timeline,
        "sweeps": len(sweeps),
        "sweep": [quantile(sweeps, 0.5), quantile(sweeps, 0.99), sweeps[-1] if sweeps else 0.0],
        "cpu": time.process_time(),
    }
    with contextlib.suppress(OSError), open(f"{out}.new", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.rename(f"{out}.new", out)


if __name__ == "__main__":
    main()
