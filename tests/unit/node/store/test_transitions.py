"""What each command does, and each of its refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from node.store import commands as c
from node.store.fsm import Store


def test_put_makes_version_after_version(log: Any) -> None:
    answer = log.do(log.put(t=10, grants=("x/y",), expires_ms=99, sealed=b"one"))
    assert answer == {"ok": True, "name": "a/b", "version": 1, "index": 1}
    log.do(log.put(t=20, sealed=b"two"))
    record = log.store.get("a/b")
    assert (record.version, record.index, record.sealed) == (2, 2, b"two")
    assert (record.created_ms, record.updated_ms, record.written_ms) == (10, 20, 20)
    assert record.grants == ("x/y",), "None keeps the grants"
    assert record.expires_ms is None, "a new value is not bound by the old one's window"
    assert [(old.version, old.sealed, old.created_ms) for old in record.history] == [(1, b"one", 10)]
    log.do(log.put(grants=()))
    assert log.store.get("a/b").grants == ()


def test_put_if_version(log: Any) -> None:
    assert log.code(log.put(if_version=1)) == "conflict"
    assert log.version(log.put(if_version=0)) == 1
    assert log.code(log.put(if_version=0)) == "conflict"
    assert log.code(log.put(if_version=2)) == "conflict"
    assert "version 1" in log.do(log.put(if_version=2))["message"]
    assert log.version(log.put(if_version=1)) == 2
    log.do(log.make(c.Delete))
    assert log.code(log.put(if_version=2)) == "conflict", "who read it before must learn that it was deleted"
    assert "last version is 2" in log.do(log.put(if_version=2))["message"]
    assert log.version(log.put(if_version=0)) == 3


def test_delete_and_undelete(log: Any) -> None:
    assert log.code(log.make(c.Delete)) == log.code(log.make(c.Undelete)) == "not_found"
    log.do(log.put(grants=("x/y",)))
    log.do(log.put())
    before = log.store.get("a/b")
    assert log.code(log.make(c.Undelete)) == "conflict"
    assert log.code(log.make(c.Delete, if_version=1)) == "conflict"
    assert log.version(log.make(c.Delete, t=50, if_version=2)) == 2
    deleted = log.store.get("a/b")
    assert deleted == dataclasses.replace(before, deleted=True, updated_ms=50, index=log.store.index)
    assert log.code(log.make(c.Delete)) == "deleted" and len(log.store) == 0
    assert log.version(log.make(c.Undelete, t=60)) == 2
    assert log.store.get("a/b") == dataclasses.replace(before, updated_ms=60, index=log.store.index)
    assert len(log.store) == 1


def test_put_revives_with_history_and_grants(log: Any) -> None:
    log.do(log.put(grants=("x/y",), sealed=b"one"))
    log.do(log.make(c.Delete))
    assert log.version(log.put(sealed=b"two")) == 2
    record = log.store.get("a/b")
    assert not record.deleted and record.grants == ("x/y",) and record.history[0].sealed == b"one"


@pytest.mark.parametrize("deleted", [False, True])
def test_purge_leaves_the_highest_version_only(log: Any, deleted: bool) -> None:
    assert log.code(log.make(c.Purge)) == "not_found"
    log.do(log.put(grants=("x/y",)))
    log.do(log.put())
    if deleted:
        log.do(log.make(c.Delete))
    assert log.code(log.make(c.Purge, if_version=1)) == "conflict"
    assert log.version(log.make(c.Purge)) == 2
    assert log.store.get("a/b") is None and len(log.store) == 0 and log.store.list() == []
    assert (log.store.tombstones, log.store.stored_bytes) == (1, 0)
    assert [change.name for change in log.store.drain_changes()] == ["a/b"]
    assert log.code(log.make(c.Undelete)) == "not_found"
    assert log.version(log.put(if_version=0)) == 3
    record = log.store.get("a/b")
    assert (record.history, record.grants, log.store.tombstones) == ((), (), 0)


def test_grants_change_without_a_new_version(log: Any) -> None:
    assert log.code(log.make(c.Grant, grants=("x/y",))) == "not_found"
    log.do(log.put(grants=("x/y",)))
    assert log.do(log.make(c.Grant, t=7, grants=("x/z", "a/*"))) == {
        "ok": True,
        "name": "a/b",
        "version": 1,
        "index": 3,
    }
    record = log.store.get("a/b")
    assert (record.grants, record.version, record.index, record.updated_ms) == (("a/*", "x/y", "x/z"), 1, 3, 7)
    log.store.drain_changes()
    assert log.do(log.make(c.Grant, grants=("x/z",)))["index"] == 3
    assert log.do(log.make(c.Revoke, grants=("no/one",)))["index"] == 3
    assert log.store.get("a/b") is record and log.store.drain_changes() == []
    assert log.do(log.make(c.Revoke, grants=("x/z", "x/y", "no/one")))["index"] == 6
    assert log.store.get("a/b").grants == ("a/*",)
    assert [change.index for change in log.store.drain_changes()] == [6]


def test_of_a_deleted_secret_only_less_can_be_granted(log: Any) -> None:
    log.do(log.put(grants=("x/y", "x/z")))
    log.do(log.make(c.Delete))
    assert log.code(log.make(c.Grant, grants=("q/r",))) == "deleted"
    assert log.version(log.make(c.Revoke, grants=("x/y",))) == 1
    assert log.store.get("a/b").grants == ("x/z",) and log.store.get("a/b").deleted


def test_the_window_is_patched_bound_by_bound(log: Any) -> None:
    assert log.code(log.make(c.PatchMeta, expires_ms=5)) == "not_found"
    log.do(log.put(not_before_ms=10, expires_ms=20))
    assert log.version(log.make(c.PatchMeta, expires_ms=30)) == 1
    record = log.store.get("a/b")
    assert (record.not_before_ms, record.expires_ms, record.index, record.history) == (10, 30, 3, ())
    assert log.code(log.make(c.PatchMeta, not_before_ms=30)) == "invalid"
    log.do(log.make(c.PatchMeta, expires_ms=None))
    log.do(log.make(c.PatchMeta, not_before_ms=30))
    record = log.store.get("a/b")
    assert (record.not_before_ms, record.expires_ms) == (30, None)
    assert log.do(log.make(c.PatchMeta, expires_ms=None))["ok"] and log.store.get("a/b") is record
    log.do(log.make(c.Delete))
    assert log.code(log.make(c.PatchMeta, expires_ms=40)) == "deleted"


def test_a_put_keeps_the_bounds_it_is_told_to_keep(log: Any) -> None:
    keep = {"not_before_ms": c.KEEP, "expires_ms": c.KEEP}
    log.do(log.put(**keep))
    assert (log.store.get("a/b").not_before_ms, log.store.get("a/b").expires_ms) == (None, None)
    log.do(log.put(not_before_ms=10, expires_ms=20))
    assert "window_cleared" not in log.do(log.put(**keep))
    assert (log.store.get("a/b").not_before_ms, log.store.get("a/b").expires_ms) == (10, 20)
    assert log.code(log.put(not_before_ms=c.KEEP, expires_ms=10)) == "invalid"
    log.do(log.put(not_before_ms=c.KEEP, expires_ms=None))
    assert (log.store.get("a/b").not_before_ms, log.store.get("a/b").expires_ms) == (10, None)


def test_a_put_that_ends_a_window_says_so(log: Any) -> None:
    assert "window_cleared" not in log.do(log.put(expires_ms=20))
    assert "window_cleared" not in log.do(log.put(expires_ms=30))
    assert log.do(log.put())["window_cleared"] is True
    assert "window_cleared" not in log.do(log.put())


def test_a_window_is_patched_only_at_the_version_that_was_read(log: Any) -> None:
    log.do(log.put())
    log.do(log.put())
    assert log.code(log.make(c.PatchMeta, expires_ms=5, if_version=1)) == "conflict"
    assert log.version(log.make(c.PatchMeta, expires_ms=5, if_version=2)) == 2


def of(log: Any, expect: tuple[tuple[str, int], ...], *changes: Any) -> c.Batch:
    common = log.common()
    changes = tuple(dataclasses.replace(change, **common) for change in changes)
    return c.Batch(expect=expect, changes=changes, **common)


def test_a_batch_is_done_as_one(log: Any) -> None:
    log.do(log.put(grants=("x/y",), expires_ms=20))
    changes = (
        log.put("b/new", grants=("q/r",)),
        log.make(c.Grant, grants=("x/z",)),
        log.make(c.Revoke, grants=("x/y",)),
        log.make(c.PatchMeta, expires_ms=None),
    )
    log.store.drain_changes()
    answer = log.do(of(log, (("a/b", 1), ("b/new", 0)), *changes))
    changed = [["b/new", 1, "created"], ["a/b", 1, "changed"]]
    assert answer == {"ok": True, "name": "", "version": 0, "index": 2, "changed": changed}
    record = log.store.get("a/b")
    assert (record.grants, record.expires_ms, record.version, record.index) == (("x/z",), None, 1, 2)
    assert log.store.get("b/new").grants == ("q/r",) and len(log.store) == 2
    assert {change.name for change in log.store.drain_changes()} == {"a/b", "b/new"}


def test_of_a_batch_that_is_refused_nothing_is_done(make_log: Any) -> None:
    log = make_log(secrets=2, stored_bytes=1000, grants=2)
    log.do(log.put())
    here, new = ("a/b", 1), ("b/new", 0)
    assert log.code(of(log, (("a/b", 9), new), log.put("b/new"))) == "conflict"
    assert log.code(of(log, (("b/new", 1),), log.put("b/new"))) == "conflict"
    assert log.code(of(log, (here, new), log.put("b/new"), log.put(if_version=7))) == "conflict"
    assert (
        log.code(of(log, (here, new), log.put("b/new"), log.make(c.Grant, grants=("a/x", "a/y", "a/z")))) == "too_large"
    )
    assert (
        log.code(of(log, (here, new), log.put("b/new", sealed=bytes(500)), log.put(sealed=bytes(400)))) == "too_large"
    )
    assert log.code(of(log, (new, ("c/new", 0)), log.put("b/new"), log.put("c/new"))) == "too_large"
    log.do(log.make(c.Delete))
    assert (
        log.code(of(log, (("a/b", log.store.index), new), log.put("b/new"), log.make(c.Grant, grants=("a/x",))))
        == "deleted"
    )


def test_what_a_batch_changes_twice_adds_up(log: Any) -> None:
    """The limits count what the changes before it leave, also of a name without a record."""
    log.do(of(log, (("a/b", 0),), log.put(), log.put(sealed=b"two"), log.make(c.Grant, grants=("x/y",))))
    record = log.store.get("a/b")
    assert (record.version, record.sealed, record.grants) == (2, b"two", ("x/y",))
    assert log.store.stored_bytes == record.weight and len(record.history) == 1


def test_an_expired_secret_is_changed_like_any_other(log: Any) -> None:
    log.do(log.put(t=10, expires_ms=5))
    assert log.version(log.make(c.Grant, grants=("x/y",), t=20)) == 1
    assert log.store.get("a/b") is not None and len(log.store) == 1


def test_rollback_brings_old_content_as_a_new_version(log: Any) -> None:
    assert log.code(log.make(c.Rollback, to=1)) == "not_found"
    log.do(log.put(sealed=b"one", write_id=b"w1", generation=1, fields=(("k", 1),), grants=("x/y",)))
    log.do(log.put(sealed=b"two", write_id=b"w2", generation=2, expires_ms=77))
    assert log.code(log.make(c.Rollback, to=2)) == "conflict"
    assert log.code(log.make(c.Rollback, to=3)) == "not_found"
    assert "kept: 1" in log.do(log.make(c.Rollback, to=9))["hint"]
    assert log.code(log.make(c.Rollback, to=1, if_version=1)) == "conflict"
    assert log.version(log.make(c.Rollback, to=1, if_version=2, t=40)) == 3
    record = log.store.get("a/b")
    assert (record.sealed, record.write_id, record.generation, record.fields) == (b"one", b"w1", 1, (("k", 1),))
    assert (record.written_ms, record.updated_ms, record.grants, record.expires_ms) == (40, 40, ("x/y",), 77)
    assert [old.sealed for old in record.history] == [b"one", b"two"]
    log.do(log.make(c.Delete))
    assert log.code(log.make(c.Rollback, to=1)) == "deleted"


def test_history_keeps_the_last_ten(log: Any) -> None:
    for number in range(1, 15):
        log.do(log.put(sealed=b"v%d" % number))
    record = log.store.get("a/b")
    assert [old.version for old in record.history] == list(range(4, 14))
    assert log.code(log.make(c.Rollback, to=3)) == "not_found"
    assert log.version(log.make(c.Rollback, to=4)) == 15
    assert log.store.get("a/b").sealed == b"v4"


def test_a_store_without_history(make_log: Any) -> None:
    log = make_log(history=0)
    log.do(log.put())
    log.do(log.put())
    assert log.store.get("a/b").history == ()


def test_the_first_key_of_a_generation_wins(log: Any) -> None:
    assert log.do(log.key(1, b"first")) == {"ok": True, "name": "", "version": 1, "index": 1}
    assert log.code(log.key(1, b"second")) == "conflict"
    assert log.version(log.key(2, b"third")) == 2
    assert log.store.keys == {1: b"first", 2: b"third"} and log.store.drain_changes() == []
    log.store.keys.clear()
    assert len(log.store.keys) == 2


def test_limit_of_keys(make_log: Any) -> None:
    log = make_log(keys=1)
    log.do(log.key(1))
    assert log.code(log.key(2)) == "too_large"


def test_limit_of_secrets_counts_deleted_ones(make_log: Any) -> None:
    log = make_log(secrets=2)
    log.do(log.put("a/b"))
    log.do(log.put("a/c"))
    log.do(log.make(c.Delete, "a/b"))
    assert log.code(log.put("a/d")) == "too_large"
    assert log.version(log.put("a/b")) == 2
    log.do(log.make(c.Purge, "a/c"))
    assert log.version(log.put("a/d")) == 1


def test_limit_of_bytes_refuses_growth_only(make_log: Any) -> None:
    log = make_log(stored_bytes=1000, history=1)
    log.do(log.put(sealed=bytes(400)))
    log.do(log.put(sealed=bytes(400)))
    used = log.store.stored_bytes
    assert log.code(log.put(sealed=bytes(500))) == "too_large"
    assert log.code(log.put("a/c", sealed=bytes(100))) == "too_large"
    assert log.code(log.make(c.Grant, grants=("n" * 60 + "/y",))) == "too_large"
    assert log.store.stored_bytes == used
    assert log.version(log.put(sealed=bytes(400))) == 3, "the oldest version makes room"
    assert log.do(log.make(c.Delete))["ok"]


def test_limit_of_bytes_to_the_byte(make_log: Any, log: Any) -> None:
    log.do(log.put())
    assert make_log(stored_bytes=log.store.stored_bytes).version(log.put()) == 1
    assert make_log(stored_bytes=log.store.stored_bytes - 1).code(log.put()) == "too_large"


def test_what_makes_it_smaller_is_taken_above_the_limit(make_log: Any, log: Any) -> None:
    for name in ("a/b", "a/c", "a/d"):
        log.do(log.put(name, grants=("x/y",)))
    full = make_log(stored_bytes=10, history=0)
    full.store.adopt(Store.load(log.store.capture()))
    full.store.drain_changes()
    assert full.code(log.put("a/b", sealed=bytes(100))) == "too_large"
    for command in (
        log.make(c.Revoke, "a/b", grants=("x/y",)),
        log.put("a/b", sealed=b"x"),
        log.make(c.Delete, "a/b"),
        log.make(c.Undelete, "a/b"),
        log.make(c.Purge, "a/c"),
    ):
        assert full.do(command)["ok"]


def test_limit_of_grants(make_log: Any) -> None:
    log = make_log(grants=2)
    assert log.code(log.put(grants=("a/x", "a/y", "a/z"))) == "too_large"
    log.do(log.put(grants=("a/x",)))
    assert log.code(log.make(c.Grant, grants=("a/y", "a/z"))) == "too_large"
    assert log.version(log.make(c.Grant, grants=("a/x", "a/y"))) == 1
    assert log.do(log.make(c.Grant, grants=("a/x",)))["ok"]
