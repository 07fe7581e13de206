from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from statefulset.cli.dev.watch import Watcher


class Mount:
    """Generations as the sidecar makes them."""

    def __init__(self, root: Path) -> None:
        self.root, self._number = root, 0

    def swap(self, **files: bytes) -> float:
        """The time of the rename."""
        self._number += 1
        folder = self.root / f"..g{self._number}"
        folder.mkdir()
        for name, value in files.items():
            (folder / name).write_bytes(value)
            if not (self.root / name).is_symlink():
                (self.root / name).symlink_to(f"..data/{name}")
        (self.root / "..data_tmp").symlink_to(folder.name)
        at = time.monotonic()
        os.rename(self.root / "..data_tmp", self.root / "..data")
        return at


@pytest.fixture(params=[True, False], ids=["inotify", "polled"])
def inotify(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_swap_is_noticed_with_its_time(tmp_path: Path, inotify: bool) -> None:
    mount = Mount(tmp_path)
    with Watcher(tmp_path, ["a", "b"], inotify=inotify) as watcher:
        swapped = mount.swap(a=b"one", b=b"")
        at = watcher.wait("a", b"one", 30)
        assert at is not None
        assert swapped <= at <= time.monotonic()
        assert watcher.wait("b", b"", 30) == at
        assert watcher.wait("a", b"two", 0.05) is None
        mount.swap(a=b"two", b=b"")
        later = watcher.wait("a", b"two", 30)
        assert later is not None
        assert later > at
        assert watcher.wait("a", b"one", 0) == at
    assert watcher.method == ("inotify" if inotify else "polled every 2 ms")


def test_what_is_there_already_counts(tmp_path: Path) -> None:
    Mount(tmp_path).swap(a=b"one")
    with Watcher(tmp_path, ["a"]) as watcher:
        assert watcher.wait("a", b"one", 0) is not None


def test_every_one_of_many_quick_swaps_that_stays_is_seen(tmp_path: Path, inotify: bool) -> None:
    mount = Mount(tmp_path)
    with Watcher(tmp_path, ["a"], inotify=inotify) as watcher:
        for number in range(50):
            value = b"%d" % number
            mount.swap(a=value)
            assert watcher.wait("a", value, 30) is not None


def test_without_inotify_it_polls_and_says_so(tmp_path: Path) -> None:
    with Watcher(tmp_path / "missing", ["a"]) as watcher:
        assert watcher.method.startswith("polled")
        (tmp_path / "missing").mkdir()
        (tmp_path / "missing" / "a").write_bytes(b"x")
        assert watcher.wait("a", b"x", 30) is not None


def test_it_ends_with_its_block_and_keeps_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with Watcher(tmp_path, ["a"]):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "watcher"]
