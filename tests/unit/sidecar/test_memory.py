"""Memory: what is given back is only what can be had again, and what is concealed stays so."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from sidecar import memory

PYTHON, SPACED = "/usr/bin/python3.11", "/usr/lib/lib with space.so"


def mapping(start, flags, file, anonymous=0, swap=0):
    """One of /proc/self/smaps, in short."""
    return [
        f"{start:x}-{start + 0x2000:x} {flags} 00001000 08:01 1    {file}\n",
        "Size:                  8 kB\n",
        f"Anonymous:          {anonymous:>4} kB\n",
        "AnonHugePages:         0 kB\n",
        f"Swap:               {swap:>4} kB\n",
        "SwapPss:               0 kB\n",
        "THPeligible:           0\n",
        "VmFlags: rd ex mr mw me \n",
    ]


@pytest.mark.parametrize(
    ("made", "released"),
    [
        (mapping(0x1000, "r-xp", PYTHON), True),
        (mapping(0x1000, "r--p", PYTHON), True),
        (mapping(0x1000, "r-xp", SPACED), True),
        (mapping(0x1000, "r--p", PYTHON, anonymous=4), False),  # relocated
        (mapping(0x1000, "r--p", PYTHON, swap=4), False),  # relocated, and swapped out since
        (mapping(0x1000, "rw-p", PYTHON), False),
        (mapping(0x1000, "rwxp", PYTHON), False),
        (mapping(0x1000, "r--s", PYTHON), False),
        (mapping(0x1000, "r--p", "/usr/lib/loaded-later.so"), False),
        (mapping(0x1000, "r-xp", "[vdso]"), False),
        (mapping(0x1000, "rw-p", ""), False),
    ],
)
def test_only_what_is_as_good_as_its_file_is_released(made, released):
    around = mapping(0x8000, "r-xp", SPACED)
    expected = [(0x1000, 0x3000), (0x8000, 0xA000)] if released else [(0x8000, 0xA000)]
    assert memory.clean_ranges([*made, *around], {PYTHON, SPACED}) == expected


def test_a_process_works_on_after_a_release_and_is_smaller():
    code = (
        "import ssl, uvloop\nfrom sidecar import memory\nfiles = memory.mapped_files()\n"
        "before = memory.resident_kib()\nmemory.release(())\nheap = memory.resident_kib()\n"
        "memory.release(files)\nafter = memory.resident_kib()\n"
        "ssl.create_default_context()\nuvloop.new_event_loop().close()\nprint(before, heap, after)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    before, heap, after = map(int, result.stdout.split())
    assert 0 < after < min(heap, before)


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


def test_swap_is_seen(tmp_path):
    swaps = tmp_path / "swaps"
    heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    swaps.write_text(heading)
    assert not memory.swap_is_on(str(swaps))
    swaps.write_text(heading + "/dev/sda2                               partition\t8388604\t0\t-2\n")
    assert memory.swap_is_on(str(swaps))
    assert not memory.swap_is_on(str(tmp_path / "none"))


def test_a_sidecar_says_that_there_is_swap(tmp_path):
    code = (
        "import sys\nfrom sidecar import memory, __main__ as program, volume\n"
        "real = memory.swap_is_on\nmemory.swap_is_on = lambda: real(sys.argv[1])\n"
        "sys.exit(program.run(['run'], {'SAFE_NODES': 'localhost:1', 'SAFE_CA_FILE': '/x', 'SAFE_TOKEN_FILE': '/x',"
        " 'SAFE_TARGET': sys.argv[2]}))"
    )
    swaps = tmp_path / "swaps"
    for areas, said in (("", False), ("/dev/sda2 partition 8388604 0 -2\n", True)):
        swaps.write_text("Filename Type Size Used Priority\n" + areas)
        # A folder of /proc is no place in memory: that is where it ends.
        done = subprocess.run(
            [sys.executable, "-c", code, str(swaps), "/proc/self"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2 and "not in memory" in done.stderr, done.stderr
        assert ("this machine has swap" in done.stderr) is said


def test_memory_is_given_back_at_once_the_first_time_and_then_not_again_for_a_while():
    assert memory.rest(math.inf, 0.9) == 0.0
    assert memory.rest(0.0, 0.0) == memory.REST
    assert memory.rest(1.0, 1.0) == 2 * memory.REST - 1.0
    assert memory.rest(2 * memory.REST, 1.0) == 0.0
