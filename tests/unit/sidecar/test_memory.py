"""Memory: what is given back is only what can be had again, and what is concealed stays so."""

from __future__ import annotations

import subprocess
import sys

from sidecar import memory

MAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 08:01 1 /usr/bin/python3.11
55d0c0001000-55d0c0003000 r-xp 00001000 08:01 1 /usr/bin/python3.11
55d0c0003000-55d0c0004000 rwxp 00001000 08:01 1 /usr/lib/odd.so
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
7f0000100000-7f0000200000 r-xp 00000000 08:01 2 /usr/lib/lib with space.so
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]
"""


def test_only_unchanged_code_of_files_is_released():
    assert memory.code_ranges(MAPS.splitlines(keepends=True)) == [
        (0x55D0C0001000, 0x55D0C0003000),
        (0x7F0000100000, 0x7F0000200000),
    ]


def test_a_process_works_on_after_a_release_and_is_smaller():
    code = (
        "import ssl, uvloop\nfrom sidecar import memory\n"
        "before = memory.resident_kib()\nmemory.release()\nafter = memory.resident_kib()\n"
        "ssl.create_default_context()\nuvloop.new_event_loop().close()\nprint(before, after)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    before, after = map(int, result.stdout.split())
    assert 0 < after < before


def test_a_concealed_process_leaves_no_core():
    code = (
        "import ctypes, resource\nfrom sidecar import memory\nmemory.conceal()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[1], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
        "print(memory.resident_kib() > 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert result.stdout.split() == ["0", "0", "True"]


def test_resolver_threads_can_still_be_set_by_hand(monkeypatch):
    monkeypatch.setenv("UV_THREADPOOL_SIZE", "3")
    memory.one_resolver_thread()
    import os

    assert os.environ["UV_THREADPOOL_SIZE"] == "3"
