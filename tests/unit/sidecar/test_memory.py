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
