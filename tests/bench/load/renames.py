"""When a file is renamed into place, told by inotify(7) to the loop that waits for it.

Why it exists: a change time is exact to a tick of the kernel only, up to 10 ms too early, which is more than a swap
takes. An event is stamped when it is read here: too late by as long as this process waits for a processor, and never
too early, for us and the peers alike.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import time
from collections.abc import Iterable
from typing import Final, Self

IN_MOVED_TO: Final = 0x80
EVENT: Final = struct.Struct("iIII")
READ: Final = 1 << 16


class Renames:
    """Use as a context manager inside a loop. `at`: path -> wall time of the last rename to it."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.at: dict[str, float] = {}
        self._folders: dict[int, str] = {}
        self._wanted = frozenset(paths)

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for folder in {os.path.dirname(path) for path in self._wanted}:
            watch = libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_MOVED_TO)
            if watch < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", folder)
            self._folders[watch] = folder
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        now, data, at = time.time(), os.read(self._descriptor, READ), 0
        while at < len(data):
            watch, _, _, size = EVENT.unpack_from(data, at)
            name = data[at + EVENT.size : at + EVENT.size + size].rstrip(b"\0")
            at += EVENT.size + size
            path = f"{self._folders.get(watch, '')}/{os.fsdecode(name)}"
            if path in self._wanted:
                self.at[path] = now
