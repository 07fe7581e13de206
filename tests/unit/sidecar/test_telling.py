"""Signals: who gets one, and who does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from sidecar import telling
from sidecar.rules import Notify

NAMES = [
    # pid, comm, state, parent, cmdline
    (10, "nginx", "S", 1, b"nginx: master process nginx\0"),
    (11, "nginx", "S", 10, b"nginx: worker process\0"),
    (20, "python3", "S", 1, b"/usr/bin/gunicorn\0app\0"),
    (21, "odd) name (", "R", 1, b"/opt/odd\0"),
    (30, "nginx", "Z", 1, b""),
    (40, "a-very-long-nam", "S", 1, b"/bin/a-very-long-name-indeed\0"),
]


@pytest.fixture
def proc(tmp_path):
    for pid, comm, state, parent, cmdline in NAMES:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({comm}) {state} {parent} 0 0")
        (tmp_path / str(pid) / "cmdline").write_bytes(cmdline)
    (tmp_path / "50").mkdir()  # ended between the listing and the look
    (tmp_path / "self").mkdir()
    return str(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nginx", [10]), ("gunicorn", [20]), ("python3", [20]), ("odd", [21]), ("a-very-long-name-indeed", [40]),
        ("a-very-long-nam", [40]), ("nobody", []), ("worker", []),
    ],
)  # fmt: skip
def test_the_root_of_a_family_is_found(proc, name, found):
    assert telling.roots(name, proc) == found


def test_it_never_finds_itself(tmp_path):
    (tmp_path / str(os.getpid())).mkdir()
    (tmp_path / str(os.getpid()) / "stat").write_text(f"{os.getpid()} (me) S 1")
    assert telling.roots("me", str(tmp_path)) == []


def test_nobody_of_that_name_is_an_answer():
    assert "share its process namespace" in telling.send_signal("HUP", "no-such-program")


OWN = pytest.param(str(os.getpid()).encode(), id="own")


@pytest.mark.parametrize("content", [None, b"", b"x", b"0", b"1", b"-5", b"99999999999", OWN])
def test_a_pid_file_that_names_no_other_process(tmp_path, content):
    path = tmp_path / "pid"
    if content is not None:
        path.write_bytes(content)
    assert "does not hold the number" in telling.send_signal("HUP", str(path))


def test_a_pid_file(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = tmp_path / "pid"
    path.write_text(f"{child.pid}\n")
    assert telling.send_signal("TERM", str(path)) == ""
    assert child.wait() == -signal.SIGTERM
    said = telling.send_signal("TERM", str(path))
    assert "No such process" in said, said


async def test_a_request_that_nobody_takes_is_an_answer():
    begin = time.monotonic()
    said = await telling.tell(Notify("http", "GET", "http://127.0.0.1:9/", timeout=1.0))
    assert said == "GET http://127.0.0.1:9/: connection refused", said
    print(f"{time.monotonic() - begin:.3f} s")


@pytest.mark.timeout(20)
def test_a_fifo_is_no_pid_file_and_holds_nobody_up(tmp_path):
    path = tmp_path / "pid"
    os.mkfifo(path)
    assert telling.read_pid(str(path)) == 0
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # somebody has it open and writes nothing
    assert telling.read_pid(str(path)) == 0
    os.close(writer)
