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
from collections.abc import Iterable
from typing import Final

PR_SET_DUMPABLE: Final = 4
MADV_DONTNEED: Final = 4

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


def code_ranges(lines: Iterable[str]) -> list[tuple[int, int]]:
    """(start, end) of the mapped program code in the lines of /proc/self/maps.

    Only mappings of files that are executable and not writable: nothing can have been changed in those, so the file
    is always good for the same bytes again. Read-only data is left alone, since relocation has written to some of it.
    """
    ranges = []
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6 and words[1] == "r-xp" and words[5].startswith("/"):
            start, _, end = words[0].partition("-")
            ranges.append((int(start, 16), int(end, 16)))
    return ranges


def release() -> None:
    """Give back what only starting up and shaking hands needed.

    Free heap goes back to the kernel, and program code is unmapped from this process: some 6 MiB of Python and OpenSSL
    that ran once. What is needed again comes back page by page from the page cache, where all sidecars of a machine
    share it.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        _libc.malloc_trim(ctypes.c_size_t(0))
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            ranges = code_ranges(file)
        for start, end in ranges:
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(MADV_DONTNEED))


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
