"""Is this a place where a secret may be written, and are we the only writer?

Why it exists: plaintext must not reach a disk. A mount that was meant to be memory and is not must be noticed before
the first byte. What it refuses to do: guess. A file system it cannot name is a disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final

from sidecar.files import GENERATION, STATUS_TMP
from sidecar.settings import ALLOW_DISK, SettingsError

MEMORY: Final = frozenset({"tmpfs", "ramfs"})
"""tmpfs may be swapped out; the kubelet refuses swap, or mounts tmpfs `noswap` where it allows it."""


def file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """The type of the file system that holds `path`, "" if the kernel does not say. Raises OSError.

    By device number rather than by the longest path: bind mounts and mounts on top of mounts cannot mislead that.
    Format: proc(5), field 3 is major:minor and the type is the first field after the lone "-".
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


def prepare(target: str, allow_disk: bool) -> None:
    """Make the folder if it is missing, and refuse one that is not in memory. Raises SettingsError."""
    existing = target
    try:
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing.rstrip("/")) or "/"
        kind = file_system(existing)
        if kind not in MEMORY and not allow_disk:
            raise SettingsError(
                f"SAFE_TARGET {target} is on {kind or 'an unknown file system'}, not in memory: mount an emptyDir with"
                f" medium: Memory, or set SAFE_ALLOW_DISK={ALLOW_DISK}"
            )
        os.makedirs(target, 0o755, exist_ok=True)
        if not os.path.isdir(target) or not os.access(target, os.W_OK | os.X_OK):
            raise SettingsError(f"SAFE_TARGET {target} is not a folder that this user may write to")
    except OSError as error:
        raise SettingsError(f"SAFE_TARGET {target} cannot be used: {error.strerror}") from None


def check_group(target: str, group: int) -> None:
    """Try SAFE_FILE_GROUP on an empty file: better now than at the first secret. Hold lock() first.

    Raises SettingsError. By trial: membership, CAP_CHOWN and the map of the user namespace all have a say (chown(2)).
    """
    path = f"{target}/{STATUS_TMP}"  # one that recover() removes, should this process be killed here
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(descriptor, -1, group)
        finally:
            os.close(descriptor)
            os.unlink(path)
    except OSError as error:
        raise SettingsError(
            f"SAFE_FILE_GROUP {group} cannot be given to files in {target} ({error.strerror}): make it fsGroup or"
            " one of supplementalGroups of the pod, or leave it out"
        ) from None


def check_owner(target: str) -> None:
    """Refuse what an earlier run of another user left: nothing that a node takes away could be removed from it, and the
    application would go on reading it. Hold lock() first. Raises SettingsError."""
    with os.scandir(target) as entries:
        for entry in entries:
            generation = GENERATION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            if generation and not os.access(entry.path, os.W_OK | os.X_OK):
                owner = entry.stat(follow_symlinks=False).st_uid
                raise SettingsError(
                    f"SAFE_TARGET {target} was written by user {owner}, and user {os.geteuid()} could not remove from"
                    " it what a node takes away: let init and run be of one user (runAsUser)"
                )


def lock(target: str) -> int:
    """Be the only sidecar that writes here, until the process ends. Returns the descriptor that holds the lock.

    Raises SettingsError if another process holds it. The lock is on the folder itself and leaves no file behind.
    """
    descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SettingsError(f"SAFE_TARGET {target} is being written by another safe-sidecar") from None
    return descriptor
