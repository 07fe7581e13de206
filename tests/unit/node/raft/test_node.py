from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest

from node.errors import Fatal, Rejected, Retry
from node.settings import Settings

Trio = Any  # conftest.Trio


async def test_first_start_needs_everyone_and_then_writes(trio: Trio) -> None:
    await trio.start("safe-0")
    await trio.start("safe-1")
    await asyncio.sleep(0.7)
    assert all(node.core.blank for node in trio.nodes.values()), "a cluster began without its full list"
    await trio.start("safe-2")
    await trio.leader()
    for number, node in enumerate(trio.nodes.values()):
        assert await node.propose(b"c%d" % number, 5.0) == b"%d" % (number + 1)
    assert len({node.core.config.voters for node in trio.nodes.values()}) == 1


async def test_any_node_takes_a_write_and_a_read_sees_it(trio: Trio) -> None:
    await trio.start_all()
    await trio.leader()
    for name, node in trio.nodes.items():
        await node.propose(name.encode(), 5.0)
        for other in trio.nodes.values():
            await other.read_barrier(5.0)
            assert name.encode() in other.machine.seen


async def test_the_same_command_twice_is_one(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    first = await leader.propose(b"x", 5.0)
    assert await leader.propose(b"x", 5.0) == first


async def test_a_planned_stop_hands_over_and_loses_nothing(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    others = [node for node in trio.nodes.values() if node is not leader]
    done: list[bytes] = []

    async def write() -> None:
        for number in range(150):
            await others[number % 2].propose(b"w%d" % number, 5.0)
            done.append(b"w%d" % number)

    writer = asyncio.create_task(write())
    await trio.eventually(lambda: len(done) > 20)
    term = leader.core.term
    await trio.stop(leader.settings.name)
    await writer
    assert len(done) == 150
    for node in others:
        await node.read_barrier(5.0)
        assert set(done) <= node.machine.seen.keys()
        assert node.core.term == term + 1, "more than the one election of the hand-over"


async def test_no_quorum_is_said_and_heals(trio: Trio) -> None:
    await trio.start_all()
    await trio.leader()
    await trio.nodes["safe-0"].propose(b"kept", 5.0)
    await trio.stop("safe-1")
    await trio.stop("safe-2")
    lone = trio.nodes["safe-0"]
    with pytest.raises(Retry) as caught:
        await lone.propose(b"lost", 8.0)
    assert caught.value.code == "no_quorum"
    with pytest.raises(Retry) as caught:
        await lone.read_barrier(8.0)
    assert caught.value.code == "no_quorum"
    back = await trio.start("safe-1")
    await trio.eventually(lambda: lone.core.has_quorum)
    await back.propose(b"again", 10.0)
    await lone.read_barrier(10.0)
    assert {b"kept", b"again"} <= lone.machine.seen.keys()


async def test_everything_is_there_after_all_stopped(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    for number in range(30):
        await leader.propose(b"n%d" % number, 5.0)
    for name in list(trio.peers):
        await trio.stop(name)
    await trio.start_all()
    leader = await trio.leader()
    await leader.read_barrier(5.0)
    assert len(leader.machine.seen) == 30


async def test_a_wiped_disk_comes_back_as_a_new_member_by_itself(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    await leader.propose(b"before", 5.0)
    victim = next(name for name, node in trio.nodes.items() if node is not leader)
    old = trio.nodes[victim].core.member
    await trio.stop(victim)
    shutil.rmtree(trio.folder / victim)
    back = await trio.start(victim)
    assert back.core.member != old
    await trio.eventually(lambda: back.core.member in leader.core.config.voters)
    assert old not in leader.core.config.members
    assert b"before" in back.machine.seen


async def test_a_blank_node_is_filled_by_snapshot(trio: Trio) -> None:
    trio.extra["snapshot_bytes"] = 1 << 16
    await trio.start_all()
    leader = await trio.leader()
    await asyncio.gather(*(leader.propose(b"%05d" % n + bytes(200), 10.0) for n in range(2500)))
    await trio.eventually(lambda: leader.core.log.base_index > 0)
    victim = next(name for name, node in trio.nodes.items() if node is not leader)
    await trio.stop(victim)
    shutil.rmtree(trio.folder / victim)
    back = await trio.start(victim)
    await trio.eventually(lambda: len(back.machine.seen) == 2500)
    assert back._snapshots.latest() is not None
    await trio.eventually(lambda: back.core.is_voter)


async def test_another_nodes_volume_is_refused(trio: Trio) -> None:
    await trio.start_all()
    await trio.leader()
    await trio.stop("safe-1")
    await trio.stop("safe-2")
    shutil.rmtree(trio.folder / "safe-1")
    shutil.move(trio.folder / "safe-2", trio.folder / "safe-1")
    with pytest.raises(Fatal, match="belongs to safe-2"):
        await trio.start("safe-1")


async def test_a_wrong_root_key_stops_the_start_and_wipes_nothing(trio: Trio) -> None:
    from node.crypto.rootkey import RootKey

    await trio.start_all()
    await trio.leader()
    await trio.stop("safe-1")
    before = {p.name: p.read_bytes() for p in (trio.folder / "safe-1").iterdir()}
    trio.root = RootKey(b"w" * 32)
    with pytest.raises(Fatal, match="sealed with root key"):
        await trio.start("safe-1")
    assert {p.name: p.read_bytes() for p in (trio.folder / "safe-1").iterdir()} == before


async def test_nothing_written_holds_a_command_in_the_clear(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    await leader.propose(b"planted-canary-value", 5.0)
    leader.core.request_snapshot()
    leader.kick()
    await trio.eventually(lambda: leader._snapshots.latest() is not None)
    files = [path for name in trio.peers for path in (trio.folder / name).iterdir()]
    assert any(path.suffix == ".rss" for path in files)
    assert all(b"planted-canary" not in path.read_bytes() for path in files)


async def test_scale_1_to_3_to_5_to_3_while_writes_flow(trio: Trio) -> None:
    everyone = trio.add_names(5)
    trio.peers = {"safe-0": everyone["safe-0"]}
    first = await trio.start("safe-0")
    done: list[bytes] = []
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            command = b"w%d" % len(done)
            await first.propose(command, 10.0)
            done.append(command)

    writer = asyncio.create_task(write())
    for count in (3, 5, 3):
        trio.peers = {name: everyone[name] for name in sorted(everyone)[:count]}
        for node in trio.nodes.values():
            node.set_peers(trio.peers)
        for name in trio.peers.keys() - trio.nodes.keys():
            await trio.start(name)
        written = len(done)
        members = {node.core.member for name, node in trio.nodes.items() if name in trio.peers}
        await trio.eventually(lambda members=members: set(first.core.config.voters) == members)
        await trio.eventually(lambda written=written: len(done) > written)
        for name in trio.nodes.keys() - trio.peers.keys():
            await trio.stop(name)
    stop.set()
    await writer
    for node in trio.nodes.values():
        await node.read_barrier(10.0)
        assert set(done) <= node.machine.seen.keys()
        assert len(node.core.config.voters) == 3


async def test_resize_1_to_3_to_5_to_3_while_the_environment_stays_as_it_was(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pod is restarted or told anything but once, through the log; each reaches the others by the pattern."""
    everyone = trio.add_names(5)
    monkeypatch.setattr(Settings, "address_of", lambda settings, name: everyone.get(name))
    written: list[bytes] = []
    stop = asyncio.Event()

    async def start(ordinal: int) -> None:
        # What settings.load makes of a SAFE_PEERS that names safe-0 only.
        trio.peers = {f"safe-{number}": everyone[f"safe-{number}"] for number in range(ordinal + 1)}
        await trio.start(f"safe-{ordinal}")

    await start(0)
    first = trio.nodes["safe-0"]

    async def write() -> None:
        while not stop.is_set():
            command = b"r%d" % len(written)
            await first.propose(command, 10.0)
            written.append(command)

    writer = asyncio.create_task(write())
    for size in (3, 5, 3):
        asked = trio.nodes[f"safe-{len(trio.nodes) - 1}"]  # any node takes it
        await asked.resize(size, 10.0)
        for ordinal in range(len(trio.nodes), size):
            await start(ordinal)
        here = {node.core.member for name, node in trio.nodes.items() if int(name[5:]) < size}
        await trio.eventually(lambda here=here: set(first.core.config.voters) == here)
        status = first.status()
        assert status.size == size and len(status.voters) == size
    # Those that were removed are still running; the door is closed to them.
    await trio.eventually(lambda: not {"safe-3", "safe-4"} & set(first.status().connected))
    again = len(written)
    await trio.eventually(lambda: len(written) > again)
    for name in ("safe-4", "safe-3"):
        await trio.stop(name)
    stop.set()
    await writer
    for node in trio.nodes.values():
        await node.read_barrier(10.0)
        assert set(written) <= node.machine.seen.keys()
    await trio.stop("safe-2")
    trio.peers = {name: everyone[name] for name in ("safe-0", "safe-1", "safe-2")}
    again_started = await trio.start("safe-2")
    assert again_started.core.config.size == 3  # the decision outlives a restart


async def test_a_size_that_cannot_be_reached_is_refused(trio: Trio) -> None:
    node = await trio.start("safe-0")
    for size in (0, 10):
        with pytest.raises(Rejected, match="1 to 9"):
            await node.resize(size, 1.0)
    with pytest.raises(Rejected, match="address of safe-3 is not known"):
        await node.resize(5, 1.0)


async def test_more_pods_than_configured_do_not_keep_a_cluster_from_starting(trio: Trio) -> None:
    configured = dict(trio.peers)
    trio.peers = trio.add_names(4)
    await trio.start("safe-3")  # early, and configured for four
    trio.peers = configured
    await trio.start_all()
    leader = await trio.leader()
    assert len(leader.core.config.voters) == 3
    assert await leader.propose(b"works", 5.0) == b"1"


async def test_a_request_forwarded_to_a_leader_that_froze_goes_to_the_next(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open: waiting for that to be noticed would take seconds."""
    monkeypatch.setattr("node.raft.transport.SILENT_AFTER", 600.0)
    await trio.start_all()
    leader = await trio.leader()
    other = next(node for node in trio.nodes.values() if node is not leader)
    await other.propose(b"before", 5.0)
    frozen = trio.nodes.pop(leader.settings.name)
    monkeypatch.setattr(frozen, "_step", lambda: None)
    monkeypatch.setattr(frozen, "peer_message", lambda member, message: None)
    try:
        await other.propose(b"during", 20.0)
    finally:
        monkeypatch.undo()
        await frozen.stop(0.1)
