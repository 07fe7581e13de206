"""No blob in a repr, nothing changes in place, and the weight counts what a record holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from node.store import commands as c
from node.store.records import OVERHEAD, Record, Version

CANARY = b"CANARY"


def test_no_sealed_byte_is_in_a_repr(log: Any) -> None:
    put = log.put(sealed=b"CANARY-1", write_id=b"CANARY-w")
    log.do(put)
    log.do(log.put(sealed=b"CANARY-2"))
    key = log.key(1, b"CANARY-key")
    record = log.store.get("a/b")
    shown = repr([put, key, record, record.history[0], record.content(), log.store, log.store.drain_changes()])
    assert "CANARY" not in shown and "a/b" in shown


def test_a_record_cannot_be_changed(log: Any) -> None:
    log.do(log.put())
    record = log.store.get("a/b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.version = 7
    assert not hasattr(record, "__dict__") and not hasattr(record.content(), "__dict__")


def test_weight_counts_all_versions_names_and_grants(log: Any) -> None:
    log.do(log.put(sealed=b"12345", fields=(("value", 1),), grants=("a/x", "*/*")))
    first = 5 + 5 + OVERHEAD
    assert log.store.get("a/b").weight == first + 6 + 2 * OVERHEAD == log.store.stored_bytes
    log.do(log.put(sealed=b"1234567", fields=(("k", 1), ("cc", 1))))
    assert log.store.get("a/b").weight == first + 7 + 3 + 2 * OVERHEAD + 6 + 2 * OVERHEAD == log.store.stored_bytes
    log.do(log.make(c.Purge))
    assert log.store.stored_bytes == 0


def test_find_knows_older_versions_only(log: Any) -> None:
    for sealed in (b"1", b"2", b"3"):
        log.do(log.put(sealed=sealed))
    record = log.store.get("a/b")
    assert [record.find(version) and record.find(version).sealed for version in (1, 2, 3)] == [b"1", b"2", None]


def test_weight_is_that_of_the_parts_after_a_replacement_too() -> None:
    old = Version(1, 0, (("a", 3),), 1, b"w", b"12345")
    record = Record("a/b", 2, 0, 0, 0, None, None, ("x/y",), (("ab", 1),), 1, b"w", b"123", 1, False, ())
    own = 3 + 2 + OVERHEAD + 3 + OVERHEAD
    assert (old.weight, record.weight) == (5 + 1 + OVERHEAD, own)
    assert dataclasses.replace(record, history=(old,)).weight == own + old.weight
