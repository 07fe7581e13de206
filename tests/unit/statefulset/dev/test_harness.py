from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from statefulset.cli.dev import folders
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.harness import DevCluster, Options, end_marked


def test_only_a_process_with_the_mark_is_ended() -> None:
    command = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(600)"]
    for mark, ended in (("/home/one", True), ("/home/on", False), ("/home/one2", False)):
        env = {**os.environ, "SAFE_DEV_HOME": mark}
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert end_marked(process.pid, b"SAFE_DEV_HOME=/home/one") is ended
            if not ended:
                assert process.poll() is None
                process.terminate()
            assert process.wait(30) == -(signal.SIGKILL if ended else signal.SIGTERM)
    assert not end_marked(process.pid, b"SAFE_DEV_HOME=/home/one2")


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
