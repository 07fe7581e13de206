"""Deliberate breakages: each removes one rule, and the simulation must notice.

A simulation that never fails proves little. Every entry here is a mistake that a Raft has been shipped with, made by
replacing one method; `mutation.py` runs seeds until a check catches it. Counting copies of an older term's entry (figure
8 of the paper) needs an order of events that random runs hardly meet; tests/unit/node/raft/test_scenarios.py plays it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import disk
import world

from node.raft import election, frame, log, membership, reads, replication
from node.store import sessions

Breakage = Callable[[], contextlib.AbstractContextManager[Any]]


def skip_fsync() -> Any:
    """The disk says yes and keeps nothing until much later."""
    return mock.patch.object(disk.MemoryFiles, "sync", lambda self, handle: None)


def forget_the_vote() -> Any:
    """The term is written, the vote in it is not."""

    def set_term(self: log.Log, term: int, vote: str | None) -> None:
        self.term, self.vote = term, vote
        self._queue((log.HARD, term, None))
        self.hard_lsn = self.lsn

    return mock.patch.object(log.Log, "setCurrentTerm", set_term)


def vote_before_it_is_durable() -> Any:
    """Messages no longer wait for the term and the vote."""

    def send(self: frame.Frame, to: str, message: Any, after: int = 0) -> None:
        if after <= self.log.durable_lsn:
            self.outbox.free.append((to, message))
        else:
            self.outbox.held.append((after, to, message))

    return mock.patch.object(frame.Frame, "send", send)


def acknowledge_before_it_is_durable() -> Any:
    """A follower acknowledges what it has only in memory."""
    original = frame.Frame.send
    return mock.patch.object(frame.Frame, "send", lambda self, to, message, after=0: original(self, to, message, 0))


def count_the_leader_before_its_disk() -> Any:
    """The leader counts its own log to the end, synced or not."""
    original = replication.Replication.advance_commit

    def advance(self: replication.Replication) -> None:
        held, self.log.durable_index = self.log.durable_index, self.log.last_index
        original(self)
        self.log.durable_index = held

    return mock.patch.object(replication.Replication, "advance_commit", advance)


def half_is_a_majority() -> Any:
    return mock.patch.object(membership.Config, "quorum", property(lambda self: max(1, len(self.voters) // 2)))


def vote_for_anyone() -> Any:
    """The candidate's log is not compared."""
    return mock.patch.object(election.Election, "_log_is_current", lambda self, message: True)


def vote_for_everyone() -> Any:
    """Two candidates get a vote in the same term."""

    def on_request_vote(self: election.Election, sender: str, message: Any) -> None:
        if message["term"] > self.term:
            self.become_follower(message["term"])
        granted = message["term"] == self.term and self.role == 0 and self._log_is_current(message)
        self.send(
            sender,
            {"type": "vote_response", "term": message["term"], "granted": granted, "current": self.term},
        )

    return mock.patch.object(election.Election, "on_request_vote", on_request_vote)


def cut_on_overlap() -> Any:
    """An old, shorter message cuts what came after it (the library's own mistake)."""

    def take(self: replication.Replication, entries: Any) -> None:
        if entries and entries[0][1] <= self.log.last_index:
            self._cut(max(entries[0][1], self.log.base_index + 1))
        for data, index, term in entries:
            if index == self.log.last_index + 1:
                self.log.add(data, index, term)
                if data[:1] == b"\2":
                    self.adopt_config(index, data)

    return mock.patch.object(replication.Replication, "_take", take)


def follow_commit_against_the_own_log() -> Any:
    """A follower applies up to the leader's commit index whatever its own log holds there."""
    original = replication.Replication._follow

    def follow(self: replication.Replication, sender: str, message: Any) -> bool:
        taken = original(self, sender, message)
        if taken and message["type"] == "append_entries":
            self._follow_commit(min(message["commit"], self.log.last_index))
        return taken

    return mock.patch.object(replication.Replication, "_follow", follow)


def take_answers_of_any_term() -> Any:
    """An acknowledgement of an earlier reign counts."""

    def progress_of(self: replication.Replication, sender: str, message: Any) -> Any:
        progress = self.progress.get(sender) if self.leading else None
        if progress is not None:
            progress.heard_at = self.clock.now()
        return progress

    return mock.patch.object(replication.Replication, "_progress_of", progress_of)


def read_without_a_round() -> Any:
    """A leader answers reads from its commit index without asking anyone whether it still leads."""
    return mock.patch.object(
        reads.Reads,
        "read",
        lambda self, token: self.complete(token, *(("read", self.commit_index) if self.leading else ("refused", ""))),
    )


def read_before_the_own_entry() -> Any:
    """A new leader answers reads before an entry of its own term is committed."""

    def start_round(self: reads.Reads) -> None:
        if self.waiting:
            self.rounds.append((self.seq + 1, self.commit_index, self.waiting))
            self.waiting = []
            self.broadcast_due = True

    return mock.patch.object(reads.Reads, "start_round", start_round)


def same_name_for_a_new_disk() -> Any:
    """A wiped disk comes back under its old id: what it voted and acknowledged is forgotten, and counted again."""

    @contextlib.contextmanager
    def broken() -> Iterator[None]:
        original = world.SimNode.new_disk

        def new_disk(self: world.SimNode) -> None:
            original(self)
            self.generation = 1
            if hasattr(self, "member"):
                # Such systems let a blank node in under its old name, with the configuration it is told.
                core = next((n.core for n in self.world.nodes.values() if n.core is not None), None)
                if core is not None:
                    self.preset = core.config

        start = world.SimNode.start

        def begin(self: world.SimNode) -> None:
            start(self)
            preset = self.__dict__.pop("preset", None)
            if preset is not None and self.core is not None and self.core.blank:
                self.core.configs = [(0, preset)]
                self.core.sync_peers()

        with mock.patch.object(world.SimNode, "new_disk", new_disk), mock.patch.object(world.SimNode, "start", begin):
            yield

    return broken()


def forget_request_ids() -> Any:
    """A retry of a command that was applied is applied again."""
    return mock.patch.object(sessions.Sessions, "get", lambda self, rid: None)


def compact_before_the_snapshot_is_durable() -> Any:
    """The log is dropped when the snapshot is begun, not when it is on disk."""
    original = world.SimNode._capture

    def capture(self: world.SimNode, meta: Any) -> None:
        assert self.core is not None
        self.core.log.compact_to(meta.index)
        self.core.trim_configs(meta.index)
        self.wal.segments[:-1] = [[number, 0] for number, _ in self.wal.segments[:-1]]
        self.wal.drop_below(meta.index)
        original(self, meta)

    return mock.patch.object(world.SimNode, "_capture", capture)


ALL: dict[str, Breakage] = {
    function.__name__: function
    for function in (
        skip_fsync,
        forget_the_vote,
        vote_before_it_is_durable,
        acknowledge_before_it_is_durable,
        count_the_leader_before_its_disk,
        half_is_a_majority,
        vote_for_anyone,
        vote_for_everyone,
        cut_on_overlap,
        follow_commit_against_the_own_log,
        take_answers_of_any_term,
        read_without_a_round,
        read_before_the_own_entry,
        same_name_for_a_new_disk,
        forget_request_ids,
        compact_before_the_snapshot_is_durable,
    )
}
