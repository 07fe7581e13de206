from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from statefulset.cli.dev import folders, harness
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.harness import DevCluster, Options, end_ours, session_of
from statefulset.cli.dev.processes import Program, Supervisor


def test_only_a_process_with_the_mark_is_ended() -> None:
    command = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(600)"]
    for mark, ended in (("/home/one", True), ("/home/on", False), ("/home/one2", False)):
        env = {**os.environ, "SAFE_DEV_HOME": mark}
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert end_ours(process.pid, b"SAFE_DEV_HOME=/home/one") is ended
            if not ended:
                assert process.poll() is None
                process.terminate()
            assert process.wait(30) == -(signal.SIGKILL if ended else signal.SIGTERM)
    assert not end_ours(process.pid, b"SAFE_DEV_HOME=/home/one2")


HIDDEN = """
import ctypes, os, sys, time
sys.stdin.read()
if os.fork():
    os._exit(0)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as nodes and sidecars do
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_what_a_child_left_is_found_by_its_session_without_reading_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: int) -> list[bytes]:
        return []

    monkeypatch.setattr(harness, "_environment", unreadable)  # as for who is not root
    supervisor = Supervisor(lambda _: None, restart=False)
    log = tmp_path / "log"
    process = supervisor.start(Program("one", (sys.executable, "-c", HIDDEN), dict(os.environ), log, tmp_path))
    assert supervisor.sessions() == {process.pid}
    assert process.wait(30)
    deadline = time.monotonic() + 30
    while not log.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.01)
    left = int(log.read_text())
    assert session_of(left) == process.pid
    assert supervisor.sessions() == {process.pid}
    assert not end_ours(left, b"mark", {left})
    assert end_ours(left, b"mark", supervisor.sessions())
    while session_of_any(left) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not session_of_any(left)
    supervisor.stop([])


def session_of_any(pid: int) -> int:
    try:
        return session_of(pid)
    except OSError:
        return 0


def test_a_session_whose_number_went_to_another_process_is_over() -> None:
    supervisor = Supervisor(lambda _: None, restart=False)
    supervisor.pids.append(os.getpid())
    assert supervisor.sessions() == frozenset()


def test_stop_without_start_does_nothing() -> None:
    cluster = DevCluster(Options())
    assert cluster.stop() == []
    assert cluster.stop() == []


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = folders.find_memory(folders.candidates(os.environ))
    memory = base / f"raftsafe-test-{os.getpid()}"
    memory.mkdir()
    monkeypatch.setenv(folders.CHOSEN, str(memory))
    try:
        with pytest.raises(DevError, match="leaves no room"), DevCluster(Options(port=65000)):
            raise AssertionError("it started")
        assert list(memory.iterdir()) == []
    finally:
        memory.rmdir()


def test_names_are_those_of_a_statefulset() -> None:
    assert DevCluster(Options(nodes=2)).names == ("safe-0", "safe-1")
