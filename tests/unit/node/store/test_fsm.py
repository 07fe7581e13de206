"""The store as a whole: once only, loud about what it does not understand, the same twice."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from node.errors import Fatal
from node.store import commands as c
from node.store.fsm import Store
from node.store.records import Change


def test_a_retry_gets_the_first_answer_and_changes_nothing(log: Any) -> None:
    put = c.encode(log.put(if_version=0))
    first = log.store.apply(1, put)
    log.do(log.make(c.Grant, grants=("x/y",)))
    record = log.store.get("a/b")
    log.store.drain_changes()
    assert log.store.apply(5, put) == first
    assert log.store.get("a/b") is record and log.store.drain_changes() == [] and log.store.index == 5


def test_a_refusal_is_repeated_too(log: Any) -> None:
    delete = c.encode(log.make(c.Delete))
    refusal = log.store.apply(1, delete)
    log.do(log.put())
    assert log.store.apply(3, delete) == refusal and not log.store.get("a/b").deleted


def test_what_was_answered_can_be_asked_for(log: Any) -> None:
    command = log.put()
    assert log.store.answered(command.rid) is None
    answer = log.store.apply(1, c.encode(command))
    assert log.store.answered(command.rid) == answer


def test_after_the_window_a_request_is_a_new_one(make_log: Any) -> None:
    log = make_log(sessions=3)
    put = c.encode(log.put())
    log.store.apply(1, put)
    log.store.apply(3, put)
    assert log.store.get("a/b").version == 1
    log.store.apply(4, put)
    assert log.store.get("a/b").version == 2


def test_a_retry_after_a_snapshot(log: Any) -> None:
    put = c.encode(log.put())
    first = log.store.apply(1, put)
    other = Store()
    other.adopt(Store.load(log.store.capture()))
    assert other.apply(2, put) == first and other.get("a/b").version == 1


@pytest.mark.parametrize(
    "data", [b"", b"junk", msgpack.packb({"op": "explode", "rid": bytes(16), "t": 1, "actor": ""})]
)
def test_what_is_no_command_stops_the_node(log: Any, data: bytes) -> None:
    log.do(log.put())
    with pytest.raises(Fatal, match="log index 2"):
        log.store.apply(2, data)
    assert log.store.index == 1


def test_a_command_over_a_limit_stops_the_node_and_is_not_quoted(log: Any) -> None:
    body = {**msgpack.unpackb(c.encode(log.put())), "name": "CANARY not a name"}
    with pytest.raises(Fatal) as caught:
        log.store.apply(1, msgpack.packb(body))
    assert "CANARY" not in str(caught.value) + caught.value.hint and caught.value.__cause__ is None


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_log_goes_forward_only(log: Any, index: int) -> None:
    log.do(log.put())
    log.do(log.put())
    with pytest.raises(Fatal, match="after 2"):
        log.store.apply(index, c.encode(log.put()))


def test_adopt_reports_every_name_of_both_states(log: Any, make_log: Any) -> None:
    log.do(log.put("a/new"))
    log.do(log.put("a/both"))
    other = make_log()
    other.do(other.put("a/both"))
    other.do(other.put("a/old"))
    other.do(other.put("a/purged"))
    other.do(other.make(c.Purge, "a/purged"))
    other.store.adopt(Store.load(log.store.capture()))
    assert {change.name for change in other.store.drain_changes()} == {"a/new", "a/both", "a/old", "a/purged"}
    assert other.store.get("a/old") is None and len(other.store) == 2 and other.store.index == 2


def test_changes_come_once_and_are_no_part_of_the_state(log: Any) -> None:
    log.do(log.put("a/b"))
    log.do(log.put("a/c"))
    log.do(log.put("a/b"))
    before = list(log.store.capture())
    assert log.store.drain_changes() == [Change("a/c", 2), Change("a/b", 3)]
    assert log.store.drain_changes() == [] and list(log.store.capture()) == before


def test_an_empty_store() -> None:
    store = Store()
    assert (store.index, len(store), store.keys, store.get("a/b"), store.list()) == (0, 0, {}, None, [])
