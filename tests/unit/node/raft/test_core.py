"""What leaves when, and what stops a node: the core alone, fed by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from node.errors import Fatal
from node.raft import codec
from node.raft.core import Core
from node.raft.install import CHUNK
from node.raft.log import Log
from node.raft.ports import SnapshotMeta, Timing


class Clock:
    time = 100.0

    def now(self) -> float:
        return self.time

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class NoSnapshots:
    def latest(self) -> SnapshotMeta | None:
        return None

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        return b""

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        return 0


class Machine:
    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, index: int, command: bytes) -> bytes:
        if command == b"poison":
            raise RuntimeError("the value is hunter2")
        self.applied.append(command)
        return command

    def capture(self) -> Iterable[bytes]:
        return []

    def load(self, chunks: Iterable[bytes]) -> Any: ...
    def adopt(self, state: Any) -> None: ...


class Rig:
    """One core of three, a slow disk that is finished by hand, and the two others as a list of messages."""

    def __init__(self) -> None:
        self.clock, self.machine = Clock(), Machine()
        self.core = Core("a.1", Log(), self.machine, NoSnapshots(), self.clock, Timing())
        self.core.bootstrap(("a.1", "b.1", "c.1"))
        for member in ("b.1", "c.1"):
            self.core.peer_connected(member)
        self.at_disk: list[int] = []
        self.step(flush=True)

    def step(self, *, flush: bool = False) -> list[tuple[str, dict[str, Any]]]:
        self.core.tick()
        ready = self.core.take_ready(disk_free=not self.at_disk)
        self.completions = ready.completions
        if ready.ops:
            self.at_disk.append(ready.lsn)
        messages = ready.messages
        if flush and self.at_disk:
            self.core.durable(self.at_disk.pop(0))
            messages = messages + self.step(flush=True)
        return messages

    def receive(self, sender: str, **message: Any) -> None:
        self.core.receive(sender, codec.unpack(codec.pack(message)))

    def idle(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        """Let time pass in steps no longer than a heartbeat."""
        messages = []
        for _ in range(round(seconds / 0.05)):
            self.clock.time += 0.05
            messages += self.step()
        return messages

    def lead(self) -> None:
        self.idle(0.5)
        self.receive("b.1", type="pre_vote_response", term=1, granted=True, current=0)
        self.step(flush=True)
        self.receive("b.1", type="vote_response", term=1, granted=True, current=1)
        self.step(flush=True)
        assert self.core.leading

    def kinds(self, messages: list[tuple[str, dict[str, Any]]]) -> list[str]:
        return [message["type"] for _, message in messages]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nobody_is_asked_for_a_vote_before_the_own_one_is_durable(rig: Rig) -> None:
    assert set(rig.kinds(rig.idle(0.4))) == {"pre_vote"}
    rig.receive("b.1", type="pre_vote_response", term=1, granted=True, current=0)
    assert rig.kinds(rig.step()) == [] and rig.core.term == 1
    rig.core.durable(rig.at_disk.pop())
    assert set(rig.kinds(rig.step())) == {"request_vote"}


def test_a_vote_leaves_only_when_it_is_durable_and_is_given_once(rig: Rig) -> None:
    rig.idle(0.3)
    asked = {"type": "request_vote", "term": 5, "last_index": 9, "last_term": 4, "transfer": False}
    rig.receive("b.1", **asked)
    assert "vote_response" not in rig.kinds(rig.step())
    rig.receive("c.1", **asked)
    rig.core.durable(rig.at_disk.pop())
    answers = {to: m["granted"] for to, m in rig.step(flush=True) if m["type"] == "vote_response"}
    assert answers == {"b.1": True, "c.1": False}


def test_one_voter_answering_twice_is_one_vote(rig: Rig) -> None:
    rig = Rig.__new__(Rig)
    rig.clock, rig.machine, rig.at_disk = Clock(), Machine(), []
    rig.core = Core("a.1", Log(), rig.machine, NoSnapshots(), rig.clock, Timing())
    members = ("a.1", "b.1", "c.1", "d.1", "e.1")
    rig.core.bootstrap(members)
    for member in members[1:]:
        rig.core.peer_connected(member)
    rig.idle(0.4)
    for member in ("b.1", "c.1"):
        rig.receive(member, type="pre_vote_response", term=1, granted=True, current=0)
    rig.step(flush=True)
    for _ in range(3):
        rig.receive("b.1", type="vote_response", term=1, granted=True, current=1)
    rig.receive("stranger.1", type="vote_response", term=1, granted=True, current=1)
    assert not rig.core.leading
    rig.receive("c.1", type="vote_response", term=1, granted=True, current=1)
    assert rig.core.leading


def append(
    term: int, previous: tuple[int, int], entries: list[tuple[bytes, int, int]], commit: int = 0
) -> dict[str, Any]:
    return {
        "type": "append_entries", "term": term, "seq": 1, "commit": commit,
        "prev_index": previous[0], "prev_term": previous[1], "entries": entries,
    }  # fmt: skip


def test_an_acknowledgement_waits_for_the_disk_a_heartbeat_does_not(rig: Rig) -> None:
    rig.receive("b.1", **append(1, (1, 0), [(b"\1", 2, 1)]))
    rig.step(flush=True)
    rig.receive("b.1", **append(1, (2, 1), [(b"\0x", 3, 1)]))
    rig.receive("b.1", type="heartbeat", term=1, seq=2, commit=0)
    assert rig.kinds(rig.step()) == ["heartbeat_response"]
    rig.core.durable(rig.at_disk.pop())
    assert [(m["type"], m.get("index")) for _, m in rig.step()] == [("append_response", 3)]


def test_only_a_real_conflict_cuts_and_a_committed_entry_never(rig: Rig) -> None:
    entries = [(b"\1", 2, 1), (b"\0x", 3, 1), (b"\0y", 4, 1)]
    rig.receive("b.1", **append(1, (1, 0), entries, commit=3))
    rig.receive("b.1", **append(1, (1, 0), entries[:1]))  # an old message again: shorter, no conflict
    assert rig.core.log.last_index == 4
    rig.receive("c.1", **append(2, (3, 1), [(b"\0z", 4, 2)]))
    assert rig.core.log.last_index == 4 and rig.core.log.term_at(4) == 2
    with pytest.raises(Fatal, match="overwrite committed entry 3"):
        rig.receive("c.1", **append(3, (2, 1), [(b"\0q", 3, 3)]))


def test_commit_goes_only_as_far_as_the_message_proved(rig: Rig) -> None:
    rig.receive("b.1", **append(1, (1, 0), [(b"\1", 2, 1), (b"\0ghost", 3, 1)]))
    rig.receive("c.1", **append(2, (1, 0), [], commit=3))
    assert rig.core.commit_index == 1 and rig.machine.applied == []


def test_an_acknowledgement_of_another_term_or_a_stranger_counts_for_nothing(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", "token")
    rig.step(flush=True)
    last = rig.core.log.last_index
    rig.receive("b.1", type="append_response", term=0, seq=1, ok=True, index=last)
    rig.receive("z.1", type="append_response", term=1, seq=99, ok=True, index=last)
    rig.step()
    assert rig.core.commit_index < last
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=last)
    rig.step()
    assert rig.completions == [("token", "applied", b"x")]


def test_the_leader_counts_itself_only_as_far_as_its_disk(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", "token")
    rig.step()  # handed to the disk, not finished
    last = rig.core.log.last_index
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=last)
    rig.step()
    assert rig.core.commit_index < last
    rig.core.durable(rig.at_disk.pop(0))
    rig.step()
    assert rig.core.commit_index == last


def test_a_failing_apply_stops_the_node_and_shows_no_value(rig: Rig) -> None:
    rig.receive("b.1", **append(1, (1, 0), [(b"\1", 2, 1), (b"\0poison", 3, 1)], commit=3))
    with pytest.raises(Fatal, match="the state machine failed at 3: RuntimeError") as caught:
        rig.step()
    assert "hunter2" not in str(caught.value)


def test_a_disk_that_hangs_costs_the_leadership(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", None)
    rig.step()
    for _ in range(60):
        rig.clock.time += 0.05
        for member in ("b.1", "c.1"):
            rig.receive(
                member, type="heartbeat_response", term=1, seq=rig.core.seq, last_index=9, last_term=1, durable=0
            )
        rig.step()
    assert not rig.core.disk_ok and not rig.core.leading


def test_a_blank_disk_neither_votes_nor_stands() -> None:
    clock = Clock()
    core = Core("a.2", Log(), Machine(), NoSnapshots(), clock, Timing())
    core.peer_connected("b.1")
    clock.time += 5
    core.receive("b.1", {"type": "request_vote", "term": 5, "last_index": 9, "last_term": 4, "transfer": True})
    core.receive("b.1", {"type": "pre_vote", "term": 5, "last_index": 9, "last_term": 4})
    core.tick()
    ready = core.take_ready(disk_free=True)
    assert [m["granted"] for _, m in ready.messages] == [False] and core.state_name == "blank"
    with pytest.raises(Fatal, match="not among"):
        core.bootstrap(("a.1", "b.1"))


def test_a_leader_that_is_not_answered_steps_down(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", "token")
    rig.core.read("reader")
    rig.step(flush=True)
    ended = []
    for _ in range(12):
        rig.idle(0.05)
        ended += rig.completions
    assert not rig.core.leading
    assert ("token", "lost", None) in ended and ("reader", "lost", None) in ended


def test_a_process_that_was_held_up_reads_its_inbox_before_it_judges(rig: Rig) -> None:
    rig.receive("b.1", type="heartbeat", term=1, seq=1, commit=0)
    rig.step(flush=True)
    rig.clock.time += 0.7  # held up; the leader's heartbeats lie unread
    assert rig.kinds(rig.step()) == []
    rig.receive("b.1", type="heartbeat", term=1, seq=2, commit=0)
    assert rig.kinds(rig.step()) == ["heartbeat_response"] and rig.core.leader == "b.1"


def test_a_leader_that_was_held_up_does_not_step_down_before_it_has_read(rig: Rig) -> None:
    rig.lead()
    rig.clock.time += 0.7
    rig.step()
    assert rig.core.leading


def test_a_read_needs_a_round_of_answers(rig: Rig) -> None:
    rig.lead()
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=rig.core.log.last_index)
    rig.core.progress["b.1"].echoed = 0
    rig.step()
    rig.core.read("reader")
    rig.step()
    assert rig.completions == []
    rig.receive(
        "b.1", type="heartbeat_response", term=1, seq=rig.core.seq,
        last_index=rig.core.log.last_index, last_term=1, durable=rig.core.log.last_index,
    )  # fmt: skip
    rig.step()
    assert rig.completions == [("reader", "read", rig.core.commit_index)]


def test_followers_hear_of_a_commit_with_the_next_step(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", None)
    rig.step(flush=True)
    last = rig.core.log.last_index
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=last)
    assert rig.step() == []
    assert rig.core.more_to_do, "the driver must come back by itself"
    told = {to: m["commit"] for to, m in rig.step() if m["type"] == "heartbeat"}
    assert told == {"b.1": last}, "c has not acknowledged yet and hears of it when it has"
    assert not rig.core.more_to_do
    rig.receive("c.1", type="append_response", term=1, seq=99, ok=True, index=last)
    assert rig.step() == []
    assert {to: m["commit"] for to, m in rig.step()} == {"c.1": last}
    assert rig.step() == []


def test_who_asks_again_at_once_carries_the_commit_to_the_followers(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", None)
    rig.step(flush=True)
    last = rig.core.log.last_index
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=last)
    rig.step()
    rig.core.propose(b"y", None)
    sent = rig.step(flush=True)
    assert {(to, m["type"], m["commit"]) for to, m in sent} == {
        ("b.1", "append_entries", last), ("c.1", "append_entries", last)
    }  # fmt: skip
    assert not rig.core.more_to_do
    assert rig.step() == []


def test_news_that_nobody_can_be_told_any_more_do_not_keep_the_driver_busy(rig: Rig) -> None:
    rig.lead()
    rig.core.propose(b"x", None)
    rig.step(flush=True)
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=rig.core.log.last_index)
    rig.step()
    assert rig.core.more_to_do
    rig.receive("b.1", type="newer_term", term=2)
    assert not rig.core.more_to_do


def test_a_closed_connection_to_the_leader_is_answered_at_once_and_silence_by_the_timeout(rig: Rig) -> None:
    rig.receive("b.1", type="heartbeat", term=1, seq=1, commit=0)
    rig.step(flush=True)
    began = rig.clock.time
    while "pre_vote" not in rig.kinds(rig.step()):
        rig.clock.time += 0.01
    assert rig.clock.time - began >= rig.core.timing.election_min

    rig.receive("b.1", type="heartbeat", term=1, seq=2, commit=0)
    rig.step(flush=True)
    rig.core.peer_disconnected("b.1")
    began = rig.clock.time
    while "pre_vote" not in rig.kinds(rig.step()):
        rig.clock.time += 0.01
    assert rig.clock.time - began < rig.core.timing.election_min / 2


def test_one_change_of_the_membership_at_a_time_and_none_before_the_own_entry(rig: Rig) -> None:
    learner = rig.core.config.with_(learners={"d.1"})
    assert rig.core.propose_config(learner)
    rig.lead()
    assert "first entry" in rig.core.propose_config(learner)
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=rig.core.log.last_index)
    rig.step()
    assert rig.core.propose_config(learner) == ""
    assert "previous change" in rig.core.propose_config(rig.core.config.with_(size=5))
    assert rig.core.config == learner, "in force from the moment it is appended"
    rig.step(flush=True)
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=rig.core.log.last_index)
    rig.step()
    rig.core.resize(5, "token")
    rig.step(flush=True)
    rig.receive("b.1", type="append_response", term=1, seq=99, ok=True, index=rig.core.log.last_index)
    rig.step()
    assert rig.completions == [("token", "applied", rig.core.config_index)] and rig.core.config.size == 5
    rig.core.resize(99, "token")
    rig.step()
    assert rig.completions == [("token", "refused", "a cluster has 1 to 9 members")]


def test_a_full_proposal_queue_is_refused_and_nothing_is_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.raft.core.MAX_PROPOSALS", 2)
    rig.lead()
    for number in range(3):
        rig.core.propose(b"x", number)
    last = rig.core.log.last_index
    rig.step(flush=True)
    assert rig.core.log.last_index == last + 2


class OneSnapshot(NoSnapshots):
    """Three pieces of a file that covers the log so far."""

    def __init__(self, meta: SnapshotMeta) -> None:
        self.meta = meta

    def latest(self) -> SnapshotMeta | None:
        return self.meta

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        return bytes(min(size, meta.size - offset))


@pytest.mark.parametrize("reconnected", [False, True])
def test_the_lost_word_that_a_snapshot_was_installed_is_asked_for_again(rig: Rig, reconnected: bool) -> None:
    """Found by seed 2876: every piece was acknowledged, the last answer was lost, and no message left for ever."""
    rig.lead()
    core, progress = rig.core, rig.core.progress["b.1"]
    core.log.compact_to(core.log.last_index)
    meta = SnapshotMeta(core.log.last_index, core.term, core.config.packed(), 3 * CHUNK - 5, b"1234")
    core.snapshots = OneSnapshot(meta)
    progress.next, progress.match = 1, 0
    sent = [m for to, m in rig.step() if m["type"] == "install_snapshot"]
    assert [m["offset"] for m in sent] == [0, CHUNK, 2 * CHUNK]
    rig.receive(
        "b.1", type="snapshot_response", term=1, seq=sent[-1]["seq"], meta=meta.packed(), offset=meta.size, done=False
    )
    assert "install_snapshot" not in rig.kinds(rig.step())
    if reconnected:
        core.peer_disconnected("b.1")
        core.peer_connected("b.1")
    else:
        rig.clock.time += core.timing.election_max * 3
        for member in ("b.1", "c.1"):
            core.progress[member].heard_at = rig.clock.time
    again = [m for to, m in rig.step() if m["type"] == "install_snapshot"]
    assert [m["offset"] for m in again] == [2 * CHUNK - 5]
    rig.receive("b.1", type="snapshot_response", term=1, seq=0, meta=meta.packed(), offset=meta.size, done=True)
    assert progress.match == meta.index and progress.transfer is None
