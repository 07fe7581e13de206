"""The identity as files: made and judged by `safe-node`, put in place whole, in memory.

Why it exists: which files make an identity, and whether they do, is the node's knowledge; it is asked as a process.
What it refuses to do: leave half an identity where a node would find it, or put one on a disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from statefulset.identity.decide import FILES

TIMEOUT: Final = 60
"""Seconds for `safe-node`: it makes two keys, or reads five files."""
MAX_FILE: Final = 64 << 10
"""Bytes of one file; a certificate has one KiB."""
TMPFS: Final = ("tmpfs", "ramfs")


class FolderError(Exception):
    """The folder cannot hold an identity; the message says why."""


def require_memory(folder: Path) -> None:
    """Raises FolderError unless `folder` is to lie in memory. proc(5), mountinfo: the last mount above it counts."""
    above, kind = "", "nothing"
    place = os.path.realpath(folder)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= len(above):
            above, kind = point, after.split()[0]
    if kind not in TMPFS:
        raise FolderError(f"{folder} would lie on {kind}, not in memory: mount an emptyDir with medium Memory there")


def make(cluster: str, near: Path) -> dict[str, bytes]:
    """The files of a new identity."""
    with _scratch(near) as folder:
        _node("init-identity", str(folder / "new"), "--cluster", cluster)
        files = {path.name: path.read_bytes() for path in (folder / "new").iterdir()}
    if set(files) != set(FILES):
        raise FolderError(f"safe-node makes an identity of {', '.join(sorted(files))}; this program knows another one")
    return files


def judge(files: Mapping[str, bytes], near: Path) -> tuple[str, str]:
    """(id of the root key, ""), or ("", why these files are no identity)."""
    missing = [name for name in FILES if name not in files]
    if missing:
        return "", f"it lacks {', '.join(missing)}"
    if any(len(files[name]) > MAX_FILE for name in FILES):
        return "", f"a file is larger than {MAX_FILE} bytes"
    with _scratch(near) as folder:
        _write(folder, files)
        try:
            return str(json.loads(_node("show-identity", str(folder)))["root_key"]), ""
        except FolderError as error:
            return "", str(error)


def place(files: Mapping[str, bytes], folder: Path) -> None:
    """Put them where the node looks. What was there, from an earlier start of this pod, is replaced."""
    with _scratch(folder.parent) as building:
        _write(building, files)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(building, folder)


def has_data(folder: Path) -> bool:
    """Whether a node has written here. A folder that is not there is a new volume; one that cannot be read is not."""
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FolderError(
            f"the volume at {folder} cannot be read: {error.strerror}. It must be readable for user {os.getuid()}"
        ) from None


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder beside the real one, gone afterwards unless it was renamed."""
    folder = parent / f".identity.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    except OSError as error:
        raise FolderError(f"{parent} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name in FILES:
        handle = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(files[name])


def _node(*arguments: str) -> str:
    """What `safe-node` answers. Raises FolderError with its own words; they hold no key."""
    command = [sys.executable, "-m", "node", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise FolderError(f"safe-node {arguments[0]} did not end within {TIMEOUT} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[:1] or ["it said nothing"]
        raise FolderError(last[0].removeprefix("safe-node: "))
    return done.stdout
