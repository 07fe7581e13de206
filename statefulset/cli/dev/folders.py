"""Where a development cluster keeps what it writes, and how all of it goes away again.

Why it exists: values may be written to memory only, one `safe dev` a user, and nothing may stay behind, not even what
an earlier one left when it was killed. What it refuses to do: use a folder of somebody else, or call a disk memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from statefulset.cli import connection
from statefulset.cli.dev.errors import DevError

MEMORY: Final = frozenset({"tmpfs", "ramfs"})
ROOM: Final = 16 << 20
"""Bytes free at least: four logs of at most 2 MiB, and a few generations of the secrets of one workload. A check fills
4 MiB. Twice this is well below the 64 MiB of a container's /dev/shm, so that a check runs beside a `safe dev`."""
TRIES: Final = 50
PAUSE: Final = 0.02
DATA_PREFIX: Final = "raftsafe-dev-data-"
SCARCE: Final = "has only"
CHOSEN: Final = connection.MEMORY
MOUNTS: Final = "/proc/self/mountinfo"


def file_system(path: Path, mounts: str = MOUNTS) -> str:
    """The type of the file system that holds `path`, "" if the kernel does not say. Raises OSError.

    By device number, which bind mounts cannot mislead. proc(5): field 3 is major:minor, the type follows the lone "-".
    """
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, dash, after = line.partition(" - ")
            words = before.split(" ")
            if dash and len(words) > 2 and words[2] == wanted:
                return after.split(" ")[0]
    return ""


def _unfit(path: Path, mounts: str) -> str:
    """Why secrets cannot be written below `path`; "" if they can."""
    try:
        kind = file_system(path, mounts)
        free = os.statvfs(path)
    except OSError as error:
        return (error.strerror or "unusable").lower()
    if kind not in MEMORY:
        return f"is {kind or 'an unknown file system'}, not tmpfs"
    if not os.access(path, os.W_OK | os.X_OK):
        return "is not writable"
    room = free.f_bavail * free.f_frsize
    return "" if room >= ROOM else f"{SCARCE} {room >> 20} MiB free, {ROOM >> 20} are needed"


def candidates(env: Mapping[str, str]) -> list[Path]:
    """Where there may be memory for a user without any rights: /dev/shm first, because `safe` looks there.
    SAFE_DEV_MEMORY names another place, and then only that counts."""
    if env.get(CHOSEN):
        return [Path(env[CHOSEN])]
    runtime = env.get("XDG_RUNTIME_DIR", "")
    return [Path("/dev/shm"), *([Path(runtime)] if runtime.startswith("/") else [])]  # noqa: S108 - it is checked


def find_memory(places: Iterable[Path], mounts: str = MOUNTS, *, chosen: bool = False) -> Path:
    """The first of `places` that is in memory, writable and has room. Raises DevError, with what is wrong with each.
    `chosen`: they come from SAFE_DEV_MEMORY."""
    wrong, full = [], False
    for place in places:
        reason = _unfit(place, mounts)
        if not reason:
            return place
        scarce = reason.startswith(SCARCE)
        wrong.append(f"{place} {reason}" if scarce else f"{place}: {reason}")
        full = full or scarce
    seen = "; ".join(wrong)
    if full:
        other = f"set {CHOSEN} to another tmpfs" + (", or unset it" if chosen else "")
        raise DevError(f"{seen}: make room, or {other}", code="no_room")
    remedy = f"set {CHOSEN} to one, or unset it" if chosen else "mount one there, or set XDG_RUNTIME_DIR to one"
    raise DevError(f"there is no tmpfs to write secrets to ({seen}): {remedy}", code="no_tmpfs")


class Claim:
    """A folder that is ours alone until release(). The lock is on the folder itself; the kernel drops it with us."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def data_folder(self) -> Path:
        """A new folder for the nodes' data, remembered here so that the next run removes it if this one cannot."""
        path = Path(tempfile.mkdtemp(prefix=DATA_PREFIX, dir=_disk()))
        with (self.path / "data-folder").open("a", encoding="utf-8") as file:
            file.write(f"{path}\n")
        return path

    def clean(self) -> None:
        """Everything in it, and data folders of a run that was killed."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in (self.path / "data-folder").read_text("utf-8").splitlines():
                _remove_data(Path(line))
        for entry in os.scandir(self.path):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)

    def release(self) -> None:
        """Remove it, and let the next one in."""
        if self._descriptor < 0:
            return
        self.clean()
        with contextlib.suppress(OSError):
            self.path.rmdir()
        os.close(self._descriptor)
        self._descriptor = -1


def _disk() -> str:
    """The usual place for temporary files, or another that is not in memory: the nodes' fsync should mean something."""
    usual = tempfile.gettempdir()
    for place in (usual, "/var/tmp"):  # noqa: S108 - mkdtemp makes a private folder there
        with contextlib.suppress(OSError):
            if file_system(Path(place)) not in MEMORY and os.access(place, os.W_OK | os.X_OK):
                return place
    return usual


def _remove_data(path: Path) -> None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        if path.name.startswith(DATA_PREFIX) and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def lock(path: Path) -> int | None:
    """The descriptor that holds `path` for us alone, None if another process has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def claim(path: Path, *, unique: bool = False) -> Claim:
    """Make `path` (0700) or take it over from a run that is gone. Raises DevError if one is still there. `unique`: the
    name is nobody else's, so that a lock on it can only be that of a sweep() which saw it too early."""
    for _ in range(TRIES):  # the one before us may be removing it at this moment
        with contextlib.suppress(FileExistsError):
            path.mkdir(0o700)
        try:
            descriptor = lock(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DevError(f"{path} is in the way: {error.strerror}", code="folder") from None
        if descriptor is None and unique:
            time.sleep(PAUSE)
            continue
        if descriptor is None:
            raise DevError(f"another `safe dev` of this user is running{_who(path)}: end it first", code="running")
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid():
            os.close(descriptor)
            raise DevError(f"{path} belongs to another user: remove it first", code="folder")
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_ino == found.st_ino:
                os.fchmod(descriptor, 0o700)
                out = Claim(path, descriptor)
                out.clean()
                (path / "pid").write_text(f"{os.getpid()}\n", "ascii")
                return out
        os.close(descriptor)
    raise DevError(f"{path} comes and goes: is something else using it?", code="folder")


def _who(path: Path) -> str:
    try:
        return f" (process {int((path / 'pid').read_text('ascii'))})"
    except (OSError, ValueError):
        return ""


def sweep(memory: Path, prefix: str) -> None:
    """Remove what killed checks of this user have left."""
    for path in memory.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.getuid() and (descriptor := lock(path)) is not None:
                Claim(path, descriptor).release()


def check_descriptors(needed: int) -> None:
    """Raise the soft limit of open files as far as it goes, and refuse too low a one. Raises DevError."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < needed:
        raise DevError(
            f"a process may open {soft} files here, a node needs {needed}: raise the limit (ulimit -n {needed})",
            code="too_few_files",
        )
