"""Real processes for the tests of this folder, and the `safe dev` command as a person runs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statefulset.cli.dev import folders, programs
from statefulset.cli.dev.harness import DevCluster, Options

PATIENCE = 90.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    """Three nodes and one workload, beside whatever else runs here. Nothing is restarted by itself."""
    with DevCluster(Options(port=0, private=True, restart=False)) as made:
        yield made
    assert not made.home.path.exists()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A place in memory that no other `safe dev` of this user looks at."""
    base = folders.find_memory(folders.candidates(os.environ))
    path = Path(tempfile.mkdtemp(prefix="raftsafe-test-", dir=base))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Dev:
    """A running `safe dev`: its output, and what belongs to it."""

    def __init__(self, memory: Path, *arguments: str) -> None:
        self.memory = memory
        self.home = memory / f"raftsafe-dev-{os.getuid()}"
        env = programs.clean(os.environ) | {folders.CHOSEN: str(memory)}
        command = [*programs.command("safe"), "dev", *arguments]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: words in self.text, PATIENCE), self.text

    def ready(self) -> Dev:
        self.wait_for("Ctrl-C ends it")
        return self

    def ended(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def signal(self, number: int) -> int:
        self.process.send_signal(number)
        return self.ended()

    def safe(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """`safe` with the variables that `safe dev` told to export."""
        exported = dict(line.split()[1].split("=", 1) for line in self.lines if line.startswith("  export "))
        return subprocess.run(
            [*programs.command("safe"), *arguments],
            input=stdin,
            env=programs.clean(os.environ) | exported,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def data_folder(self) -> Path:
        return Path((self.home / "data-folder").read_text("utf-8").strip())

    def children(self) -> dict[int, str]:
        """Process id -> command line, of the processes it has started and not ended."""
        out = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and parent_of(int(entry.name)) == self.process.pid:
                with contextlib.suppress(OSError):
                    out[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return out


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) stat from the third on; empty for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def parent_of(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


@pytest.fixture(scope="session")
def born() -> Callable[[int], str]:
    """The start time of a process, "" if there is none: with the id it names one process and no other."""

    def look(pid: int) -> str:
        fields = _stat(pid)
        return fields[19] if fields else ""

    return look


@pytest.fixture
def dev(memory: Path) -> Iterator[Callable[..., Dev]]:
    """Starts `safe dev` with the given arguments."""
    started: list[Dev] = []

    def start(*arguments: str) -> Dev:
        started.append(Dev(memory, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.signal(signal.SIGTERM)


def until(condition: Callable[[], object], timeout: float = PATIENCE) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., bool]:
    """Polls a condition with a generous deadline; whether it became true."""
    return until
