"""The log alone: what is durable when, and what a replay of its operations yields."""

from __future__ import annotations

import pytest

from node.errors import Fatal
from node.raft.log import Log


def filled(count: int) -> Log:
    log = Log()
    for index in range(1, count + 1):
        log.add(b"\0%d" % index, index, 1)
    return log


def test_durable_goes_with_the_batches_and_back_with_a_cut() -> None:
    log = filled(3)
    _, first = log.take_ops(0.0)
    log.add(b"\0x", 4, 1)
    log.made_durable(first)
    assert log.durable_index == 3
    log.cut_from(3)
    assert log.durable_index == 2
    log.add(b"\0y", 3, 2)
    assert log.durable_index == 2
    _, second = log.take_ops(0.0)
    log.made_durable(second)
    assert log.durable_index == 3 and log.durable_lsn == log.lsn


def test_a_batch_in_flight_does_not_vouch_for_what_was_cut_meanwhile() -> None:
    log = filled(5)
    _, lsn = log.take_ops(0.0)
    log.cut_from(3)
    log.add(b"\0y", 3, 2)
    log.made_durable(lsn)
    assert log.durable_index == 2


def test_replaying_the_operations_gives_the_same_log() -> None:
    log = filled(5)
    log.setCurrentTerm(2, "a.1")
    log.cut_from(4)
    log.add(b"\0z", 4, 2)
    log.setRaftCommitIndex(3)
    ops, _ = log.take_ops(0.0)
    again = Log()
    for op in ops:
        again.replay(op)
    again.replayed()
    assert (again.entries, again.term, again.vote, again.commit_hint) == (log.entries, 2, "a.1", 3)
    assert again.bytes == log.bytes


def test_a_cut_below_the_base_of_the_oldest_segment_left_lowers_the_base() -> None:
    """The segments before were dropped, and the tail they ended with was cut by a newer leader afterwards."""
    log = Log()
    log.entries = [(b"", 960, 4)]  # as the START of the oldest segment says
    log.replay((2, 960, 3))
    log.replay((1, 960, 5, b"\0new"))
    assert log.entries == [(b"", 959, 3), (b"\0new", 960, 5)]


def test_gaps_are_fatal() -> None:
    with pytest.raises(Fatal, match="gap"):
        filled(2).add(b"\0", 4, 1)
    with pytest.raises(Fatal, match="missing"):
        filled(2).replay((1, 4, 1, b"\0"))
    with pytest.raises(Fatal, match="unknown kind"):
        Log().replay((99,))


def test_compaction_and_reset_keep_the_books() -> None:
    log = filled(5)
    log.compact_to(3)
    assert (log.base_index, log.base_term, log.bytes) == (3, 1, 4)
    assert log.term_at(2) is None and log.term_at(3) == 1
    log.reset(9, 4)
    assert (log.base_index, log.last_index, log.bytes) == (9, 9, 0)
    log.add(b"\0", 10, 4)
    _, lsn = log.take_ops(0.0)
    log.made_durable(lsn)
    assert log.durable_index == 10
