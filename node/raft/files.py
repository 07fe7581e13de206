"""The few file operations the WAL needs, so that a simulator can put a disk under the same code.

Why it exists: what is written but not yet synced is lost in a crash, and a name is durable only when its directory is
synced; the simulator's disk models exactly that. Here is the real one.
What it refuses to do: hide an error; OSError goes through.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from node.errors import Fatal


class Files(Protocol):
    """Files of one folder by name; handles are small integers."""

    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...
    def create(self, name: str) -> int: ...
    def write(self, handle: int, data: bytes, offset: int) -> None: ...
    def sync(self, handle: int) -> None: ...
    def truncate(self, handle: int, size: int) -> None: ...
    def cut(self, name: str, size: int) -> None:
        """Truncate a closed file, durably."""
        ...

    def unlink(self, name: str) -> None: ...
    def sync_names(self) -> None: ...
    def close(self, handle: int) -> None: ...
    def release(self) -> None: ...


class Folder:
    """The real thing: one directory, locked against a second process. Raises Fatal when it is taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Fatal(f"{path} is in use by another safe-node") from None

    def names(self) -> list[str]:
        return os.listdir(self.path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def create(self, name: str) -> int:
        return os.open(self.path / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written

    def sync(self, handle: int) -> None:
        os.fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def cut(self, name: str, size: int) -> None:
        handle = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, name: str) -> None:
        (self.path / name).unlink()

    def sync_names(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def release(self) -> None:
        os.close(self._lock)
