"""Making and removing files and folders, each by as few system calls as it takes.

Why it exists: the generations of files.py are made of these. What it refuses to do: follow a link, replace a file, or
show one to anybody else before it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Final

FOLDER_MODE: Final = 0o755
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM})
"""What a system call says when there is no room."""
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: str, data: bytes, mode: int, group: int | None = None) -> None:
    """A new file, readable by nobody else before it is whole. Raises OSError, as all of these."""
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if group is not None:
            os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def folder(path: str, group: int | None = None) -> None:
    """Not left to the umask; setgid stays if the parent has it: that is how the kubelet hands fsGroup down."""
    os.mkdir(path, 0o700)
    if group is not None:
        os.chown(path, -1, group)
    os.chmod(path, FOLDER_MODE | os.stat(path).st_mode & stat.S_ISGID)


def carry(old: str, new: str, group: int | None) -> None:
    """The same file in the next generation. A copy where a link is not allowed (another user's file)."""
    try:
        os.link(old, new, follow_symlinks=False)
    except PermissionError:
        with open(old, "rb") as file:
            write(new, file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode), group)


def discard(path: str) -> None:
    """A file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove(path: str) -> bool:
    """Everything below, links as links. False if something of it is still there; raises nothing."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
    with contextlib.suppress(OSError):
        os.rmdir(path)
    return not os.path.lexists(path)
