"""Notices the moment at which a file of a mount has new contents.

Why it exists: "the file changes without polling" is measured in fractions of a millisecond, so the measuring must not
poll either. inotify(7) through ctypes tells of the rename that makes a generation count; where it is not to be had,
the files are looked at every two milliseconds, and `method` says so.
What it refuses to do: keep values. It remembers digests.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import select
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

IN_MOVED_TO: Final = 0x80
IN_CLOEXEC: Final = os.O_CLOEXEC
IN_NONBLOCK: Final = os.O_NONBLOCK
POLL: Final = 0.002


def digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _inotify(folder: Path) -> int:
    """A descriptor that becomes readable when something is renamed into `folder`, -1 where that is not possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
    if descriptor >= 0 and libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_MOVED_TO) < 0:
        os.close(descriptor)
        return -1
    return descriptor


class Watcher:
    """Watches `names` below `mount` in a thread; a context manager. Times are monotonic seconds."""

    def __init__(self, mount: Path, names: Iterable[str], *, inotify: bool = True) -> None:
        self._mount = mount
        self._names = tuple(names)
        self._seen: dict[tuple[str, bytes], float] = {}
        self._changed = threading.Condition()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._descriptor = _inotify(mount) if inotify else -1
        self.method = "inotify" if self._descriptor >= 0 else f"polled every {POLL * 1000:g} ms"
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._look(time.monotonic())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (self._stop_read, self._stop_write, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)

    def wait(self, name: str, value: bytes, timeout: float) -> float | None:
        """When the file `name` was first seen to hold `value`; None if that does not happen within `timeout`."""
        key = (name, digest(value))
        with self._changed:
            self._changed.wait_for(lambda: key in self._seen, timeout)
            return self._seen.get(key)

    def _run(self) -> None:
        sources = [self._stop_read, *([self._descriptor] if self._descriptor >= 0 else [])]
        while True:
            ready = select.select(sources, [], [], None if self._descriptor >= 0 else POLL)[0]
            if self._stop_read in ready:
                return
            now = time.monotonic()
            if self._descriptor in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._descriptor, 65536)
            self._look(now)

    def _look(self, now: float) -> None:
        with self._changed:
            for name in self._names:
                with contextlib.suppress(OSError):
                    self._seen.setdefault((name, digest((self._mount / name).read_bytes())), now)
            self._changed.notify_all()
