"""Disks that fill up, hang or fail, under real nodes."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from node.errors import Fatal
from node.raft.files import Folder
from node.raft.wal import Wal

Trio = Any  # conftest.Trio

FULL_DISK = """
import asyncio, os, pathlib, subprocess, sys, tempfile, traceback
sys.path.insert(0, {here!r})
from conftest import Trio

async def main():
    with tempfile.TemporaryDirectory() as place:
        trio = Trio(pathlib.Path(place))
        small = pathlib.Path(place) / "safe-0"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=True)
        await trio.start_all()
        await trio.leader()
        first = trio.nodes["safe-0"]
        while not first.core.leading:
            (await trio.leader()).core.transfer_leadership(first.core.member)
            await asyncio.sleep(0.3)
        other = trio.nodes["safe-1"]
        done = []
        while first.core.disk_ok:
            command = b"%06d" % len(done) + bytes(20000)
            await other.propose(command, 20.0)
            done.append(command)
            await asyncio.sleep(0.01)
            assert len(done) < 2000, "2 MiB took 40 MB"
        assert not first.status().ready
        await trio.eventually(lambda: not first.core.leading)
        for number in range(20):
            await other.propose(b"later %d" % number, 20.0)
            done.append(b"later %d" % number)
        assert not first.failed.done(), "a full disk is no reason to die"
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        await trio.eventually(lambda: first.core.disk_ok and first.status().ready)
        for node in trio.nodes.values():
            await node.read_barrier(20.0)
            assert set(done) <= node.machine.seen.keys(), node.settings.name
        await trio.stop("safe-0")
        back = await trio.start("safe-0")
        await trio.eventually(lambda: set(done) <= back.machine.seen.keys())
        for name in list(trio.nodes):
            await trio.nodes.pop(name).stop(0.1)
        subprocess.run(["umount", str(small)], check=True)
    print("nothing lost, all by itself")

try:
    asyncio.run(main())
except BaseException:
    # A writer may be waiting for room; do not wait for it.
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
"""


def test_a_full_disk_costs_the_leadership_and_nothing_else(request: pytest.FixtureRequest) -> None:
    """On a real small file system, in a mount namespace of its own."""
    program = [sys.executable, "-c", FULL_DISK.format(here=str(request.path.parent))]
    space = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run([*space, *program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "nothing lost" in done.stdout, done.stderr[-3000:]


class Stuck(Folder):
    """A real folder whose sync can be made to hang, as a volume does whose storage went away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.flowing = threading.Event()
        self.flowing.set()

    def sync(self, handle: int) -> None:
        self.flowing.wait()
        super().sync(handle)


async def test_a_hanging_disk_costs_the_leadership_and_readiness(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.raft.node.Folder", Stuck)
    await trio.start_all()
    leader = await trio.leader()
    await leader.propose(b"before", 5.0)
    disk = leader._wal.files
    disk.flowing.clear()
    try:
        other = next(node for node in trio.nodes.values() if node is not leader)
        assert await other.propose(b"during", 20.0), "two good disks of three take writes"
        await trio.eventually(lambda: not leader.core.leading)
        assert not leader.core.disk_ok and not leader.status().ready
        await other.propose(b"after", 20.0)
    finally:
        disk.flowing.set()
    await trio.eventually(lambda: leader.status().ready)
    await leader.read_barrier(10.0)
    assert leader.machine.seen.keys() == {b"before", b"during", b"after"}


class Failing(Folder):
    error = 0
    torn = -1

    def sync(self, handle: int) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        super().sync(handle)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        if self.torn >= 0:
            super().write(handle, data[: self.torn], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(handle, data, offset)


class Keys:
    def create(self, purpose: str) -> tuple[bytes, Any]:
        return b"k", self

    def open(self, purpose: Any, header: Any, aad: bytes = b"") -> Any:
        return self if isinstance(purpose, str) else header

    def seal(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        return data


def test_a_failed_fsync_is_fatal_since_its_effect_is_unknown(tmp_path: Path) -> None:
    files = Failing(tmp_path)
    wal = Wal(files, Keys())
    log = wal.load("me")
    log.add(b"\0x", 1, 0)
    files.error = errno.EIO
    with pytest.raises(Fatal, match="failed: Input/output error"):
        wal.append(log.take_ops(0.0)[0])
    wal.close()


def test_room_that_comes_back_lets_the_same_record_through(tmp_path: Path) -> None:
    files = Failing(tmp_path)
    wal = Wal(files, Keys())
    log = wal.load("me")
    log.add(b"\0" + bytes(500), 1, 0)
    ops, _ = log.take_ops(0.0)
    files.torn = 37
    writer = threading.Thread(target=wal.append, args=(ops,))
    writer.start()
    while not wal.full:
        pass
    files.torn = -1
    writer.join(20)
    assert not writer.is_alive() and not wal.full
    wal.close()
    again = Wal(Folder(tmp_path), Keys())
    assert again.load("other").entries == log.entries and again.member == "me"
    again.close()


async def test_a_leader_whose_disk_fails_stops_and_nothing_it_acknowledged_is_lost(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.raft.node.Folder", Failing)
    await trio.start_all()
    leader = await trio.leader()
    done = [b"before %d" % number for number in range(20)]
    for command in done:
        await leader.propose(command, 10.0)
    name = leader.settings.name
    del trio.nodes[name]
    leader._wal.files.error = errno.EIO
    asked = [asyncio.ensure_future(leader.propose(b"unsure %d" % number, 2.0)) for number in range(5)]
    with pytest.raises(Fatal, match="the disk under the WAL failed"):
        await asyncio.wait_for(asyncio.shield(leader.failed), 20)
    # The process ends here (node.app); the others go on without it.
    done += [b"unsure %d" % number for number, each in enumerate(asked) if each.done() and not each.exception()]
    for each in asked:
        each.cancel()
    await leader.stop(0.1)
    other = await trio.leader()
    await other.propose(b"after", 20.0)
    back = await trio.start(name)  # the kubelet starts it again, the disk is good now
    await back.read_barrier(20.0)
    assert {*done, b"after"} <= back.machine.seen.keys()


class Counting(Folder):
    syncs = 0
    threads: set[str] = set()

    def sync(self, handle: int) -> None:
        Counting.syncs += 1
        Counting.threads.add(threading.current_thread().name)
        super().sync(handle)


async def test_one_sync_for_all_that_arrived_meanwhile_and_not_on_the_loop(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.raft.node.Folder", Counting)
    trio.peers = {"safe-0": trio.peers["safe-0"]}
    node = await trio.start("safe-0")
    await trio.leader()
    Counting.syncs = 0
    await asyncio.gather(*(node.propose(b"%d" % number, 20.0) for number in range(400)))
    assert len(node.machine.seen) == 400
    assert 0 < Counting.syncs < 100
    assert all(name.startswith("wal") for name in Counting.threads)
