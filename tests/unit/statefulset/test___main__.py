"""What `safe-control` does to itself before it does anything, and that it says what could not be had."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

SCRIPT = """
import ctypes, json, resource
from statefulset.__main__ import conceal
missing = conceal()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "missing": missing,
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "locked_kib": int(status["VmLck"].split()[0]),
}))
"""
UNLIMITED = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def test_it_hides_its_memory_and_says_what_could_not_be_had() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert found["dumpable"] == 0 and found["core"] == [0, 0]
    assert (found["locked_kib"] > 0) is (not found["missing"])
    expected = ([], ["mlockall"]) if UNLIMITED else (["mlockall"],)
    assert [what.split()[0] for what in found["missing"]] in expected


def test_the_log_says_so() -> None:
    command = [
        sys.executable, "-c",
        "import resource, sys; hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1];"
        " resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard)); sys.argv[1:] = ['identity'];"
        " from statefulset.__main__ import main; main()",
    ]  # fmt: skip
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SAFE_")}
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("safe-control: not available here: mlockall (RLIMIT_MEMLOCK)"), done.stderr
