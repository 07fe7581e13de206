from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statefulset.cli.dev import processes
from statefulset.cli.dev.processes import Program, Supervisor, bound, trim

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def until(condition: Callable[[], object], timeout: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    def make(name: str, source: str = SLEEP) -> Program:
        argv = (sys.executable, "-c", source)
        return Program(name, argv, dict(os.environ), tmp_path / f"{name}.log", tmp_path)

    return make


@pytest.fixture
def make(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], Supervisor]]:
    monkeypatch.setattr(processes, "DELAY", 0.05)
    made: list[Supervisor] = []

    def start(restart: bool) -> Supervisor:
        made.append(Supervisor(said.append, restart=restart))
        return made[-1]

    yield start
    for one in made:
        one.stop([], grace=0.5)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


Make = Callable[[bool], Supervisor]
Programs = Callable[..., Program]


def test_what_dies_by_itself_is_started_again_and_told(make: Make, program: Programs, said: list[str]) -> None:
    supervisor = make(True)
    process = supervisor.start(program("one"))
    supervisor.watch()
    first = process.pid
    os.kill(first, signal.SIGKILL)
    assert until(lambda: process.starts == 2 and process.alive)
    assert process.pid != first
    assert said[0] == "one was ended by SIGKILL; it starts again in 0.05 s"
    assert until(lambda: len(said) == 2)
    assert said[1] == f"one is started again (process {process.pid})"
    assert supervisor.deaths() == ["one"]


def test_one_that_keeps_dying_is_given_more_and_more_time(make: Make, program: Programs, said: list[str]) -> None:
    supervisor = make(True)
    supervisor.start(program("bad", "raise SystemExit(7)"))
    supervisor.watch()
    assert until(lambda: sum("it starts again" in line for line in said) >= 3)
    delays = [line.split()[-2] for line in said if "it starts again" in line]
    assert delays[:3] == ["0.05", "0.1", "0.2"]
    assert said[0].startswith("bad exited with code 7")


def test_what_is_ended_on_purpose_stays_down_until_started_again(
    make: Make, program: Programs, said: list[str]
) -> None:
    supervisor = make(True)
    process = supervisor.start(program("one"))
    supervisor.watch()
    before = time.monotonic()
    assert before <= supervisor.end("one") <= time.monotonic()
    assert process.code == -signal.SIGKILL
    time.sleep(0.4)
    assert process.starts == 1
    assert supervisor.deaths() == []
    assert said == []
    assert supervisor.again("one").alive
    assert process.starts == 2


def test_without_restart_a_death_is_only_told(make: Make, program: Programs, said: list[str]) -> None:
    supervisor = make(False)
    process = supervisor.start(program("one", "pass"))
    assert process.wait(30)
    assert supervisor.deaths() == ["one"]
    assert supervisor.deaths() == []
    assert said == ["one exited with code 0"]


def test_a_name_runs_once(make: Make, program: Programs) -> None:
    supervisor = make(False)
    supervisor.start(program("one"))
    with pytest.raises(RuntimeError, match="runs already"):
        supervisor.start(program("one"))
    supervisor.end("one")
    assert supervisor.start(program("one")).alive


def test_stop_asks_first_in_order_and_then_insists(make: Make, program: Programs) -> None:
    supervisor = make(True)
    polite, stubborn = supervisor.start(program("polite")), supervisor.start(program("stubborn", STUBBORN))
    frozen = supervisor.start(program("frozen"))
    supervisor.watch()
    assert until(lambda: all("up" in process.tail() for process in (polite, stubborn, frozen)))
    frozen.signal(signal.SIGSTOP)
    supervisor.stop([["stubborn"], ["polite"]], grace=0.5)
    assert polite.code == -signal.SIGTERM
    assert stubborn.code == -signal.SIGKILL
    assert frozen.code == -signal.SIGTERM
    assert all(gone(pid) for pid in supervisor.pids)
    assert len(supervisor.pids) == 3


def test_one_that_will_not_end_is_an_error(make: Make, program: Programs) -> None:
    supervisor = make(False)
    process = supervisor.start(program("stubborn", STUBBORN))
    assert until(lambda: "up" in process.tail())
    with pytest.raises(TimeoutError, match="SIGTERM"):
        supervisor.end("stubborn", signal.SIGTERM, timeout=0.2)


def test_a_child_dies_with_its_parent_whoever_kills_it(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys, time\n"
        "from statefulset.cli.dev.processes import bound\n"
        "child = subprocess.Popen(bound([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']),"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    assert until(lambda: gone(pid) or "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3])


def test_a_child_of_a_parent_that_is_gone_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    command = bound(["/usr/bin/touch", str(marker)])
    command[4] = "1"  # not our process id: as if the parent had died and another had adopted the child
    assert subprocess.run(command, check=False).returncode == 1
    assert not marker.exists()


def test_a_program_that_is_not_there_is_told_in_its_log(make: Make, tmp_path: Path) -> None:
    supervisor = make(False)
    process = supervisor.start(Program("none", ("/nowhere/program",), {}, tmp_path / "log", tmp_path))
    assert process.wait(30)
    assert process.code == 1
    assert process.tail() == ["/nowhere/program: No such file or directory"]


def test_tail_leaves_out_what_it_is_told_to(make: Make, program: Programs) -> None:
    supervisor = make(False)
    process = supervisor.start(program("one", "for n in range(50): print('odd' if n % 2 else 'even', n)"))
    assert process.wait(30)
    assert process.tail(2, without="odd") == ["even 46", "even 48"]
    assert len(process.tail()) == 20


def test_chores_are_done_and_a_failing_one_does_not_stop_the_watching(
    make: Make, program: Programs, said: list[str]
) -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError(28, "No space left on device")

    supervisor = make(True)
    supervisor.every_second(fail)
    supervisor.every_second(lambda: done.append(1))
    process = supervisor.start(program("one"))
    supervisor.watch()
    assert until(lambda: done)
    assert "a chore failed: No space left on device" in said
    os.kill(process.pid, signal.SIGKILL)
    assert until(lambda: process.starts == 2)


def test_a_reader_that_went_away_does_not_stop_the_watching(program: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "DELAY", 0.05)

    def closed(_: str) -> None:
        raise BrokenPipeError

    supervisor = Supervisor(closed, restart=True)
    try:
        process = supervisor.start(program("one"))
        supervisor.watch()
        os.kill(process.pid, signal.SIGKILL)
        assert until(lambda: process.starts == 2)
    finally:
        supervisor.stop([])


def test_a_folder_that_is_gone_is_made_again(make: Make, said: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    argv = (sys.executable, "-c", SLEEP)
    supervisor = make(True)
    process = supervisor.start(Program("one", argv, dict(os.environ), tmp_path / "log", folder))
    supervisor.watch()
    for starts in (2, 3):
        folder.rmdir()
        os.kill(process.pid, signal.SIGKILL)
        assert until(lambda wanted=starts: process.starts == wanted and process.alive)  # type: ignore[misc]
        assert folder.is_dir()
    assert until(lambda: "is started again" in said[-1])


def test_what_cannot_be_started_is_told_with_the_path(make: Make, said: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    supervisor = make(True)
    process = supervisor.start(Program("one", (sys.executable, "-c", SLEEP), {}, tmp_path / "log", folder))
    supervisor.watch()
    folder.rmdir()
    folder.write_text("in the way")
    os.kill(process.pid, signal.SIGKILL)
    assert until(lambda: len(said) == 2)
    assert said[1] == f"one cannot be started: {folder}: File exists"


def test_a_long_log_is_cut_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"a" * 1000 + b"end")
        trim(path, limit=500, kept=10)
        writer.write(b"more")
    assert path.read_bytes() == b"aaaaaaaendmore"
    trim(path, limit=500, kept=10)
    assert path.read_bytes() == b"aaaaaaaendmore"
    trim(tmp_path / "missing")
