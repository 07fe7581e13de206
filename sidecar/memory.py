"""What this process lets others see of its memory, and how much of it stays resident.

Why it exists: a sidecar is in every pod of a cluster, so each megabyte counts a thousand times; and its memory holds
the pod's secrets, so no core dump and no other process may read it.
What it refuses to do: fail. Where the kernel or the C library does not offer a call, the process runs on without.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Collection, Iterable
from typing import Final

PR_SET_DUMPABLE: Final = 4
MADV_DONTNEED: Final = 4

REST: Final = 6.0
"""Seconds at least between two times that memory is given back. It costs 3 ms and page faults later, and the pods of
one machine often change together: once a second it was in the way of the next change."""

_libc = ctypes.CDLL(None)


def conceal() -> None:
    """No core dump, no ptrace by the same user: prctl(2), and the size limit for where prctl is not heeded."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(AttributeError):
        _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def swap_is_on(swaps: str = "/proc/swaps") -> bool:
    """Whether this machine has somewhere to swap to; the first line of the file is its heading (proc(5)). False if the
    kernel does not say, as one without swap does."""
    try:
        with open(swaps, "rb") as file:
            return len(file.readlines()) > 1
    except OSError:
        return False


def mapped_files() -> frozenset[str]:
    """The files that are mapped into this process now; none if the kernel does not say."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        words = [line.rstrip("\n").split(None, 5) for line in file]
        return frozenset(each[5] for each in words if len(each) == 6 and each[5].startswith("/"))
    return frozenset()


def clean_ranges(lines: Iterable[str], files: Collection[str]) -> list[tuple[int, int]]:
    """(start, end) of the mappings of `files` that hold nothing but what the file does, in the lines of
    /proc/self/smaps (proc(5)): private, not writable, and not a page of their own in memory or in swap, so that the
    file is always good for the same bytes again. Some read-only data has been written to by relocation."""
    ranges: list[tuple[int, int]] = []
    begun: tuple[int, int] | None = None
    for line in lines:
        words = line.rstrip("\n").split(None, 5)
        if not words[0].endswith(":"):
            start, _, end = words[0].partition("-")
            fixed = len(words) == 6 and words[5] in files and words[1] in ("r-xp", "r--p")
            begun = (int(start, 16), int(end, 16)) if fixed else None
        elif words[0] == "Anonymous:" and words[1] == "0" and begun:
            ranges.append(begun)
        elif words[0] == "Swap:" and words[1] != "0" and begun in ranges:
            ranges.remove(begun)
    return ranges


def release(files: Collection[str]) -> None:
    """Give back what only starting up and shaking hands needed.

    Free heap goes back to the kernel, and what is as good as in its file is unmapped from this process: some 10 MiB of
    program code, tables and texts of Python and OpenSSL, used once. What is needed again comes back by page faults from
    the page cache, where all sidecars of a machine share it. `files`: see mapped_files; what was mapped before there
    was a second thread, for the dynamic linker may be in the middle of relocating any other.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        _libc.malloc_trim(ctypes.c_size_t(0))
        with open("/proc/self/smaps", encoding="utf-8", errors="surrogateescape") as file:
            ranges = clean_ranges(file, files)
        for start, end in ranges:
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(MADV_DONTNEED))


def rest(since: float, chance: float) -> float:
    """Seconds from now in which memory is not to be given back. `since`: seconds since it last was, infinity if never;
    `chance`: 0 to 1, which keeps the pods of a machine from doing it all at once."""
    return max(0.0, REST * (1 + chance) - since)


def resident_kib() -> int:
    """VmRSS of this process, 0 if the kernel does not say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmRSS:")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def one_resolver_thread() -> None:
    """libuv starts four threads for the first name it resolves; a sidecar resolves one name at a time."""
    os.environ.setdefault("UV_THREADPOOL_SIZE", "1")
