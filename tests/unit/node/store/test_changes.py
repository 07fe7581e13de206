"""Changes: each name once, in the order of the log, bounded."""

from __future__ import annotations

from node.store.changes import Changes
from node.store.records import Change


def test_each_name_once_with_its_last_index() -> None:
    changes = Changes(10)
    changes.changed("a/b", 1)
    changes.changed("a/c", 2)
    changes.changed("a/b", 3)
    assert changes.drain(100) == [Change("a/c", 2), Change("a/b", 3)]
    assert changes.drain(100) == []


def test_gone_and_back() -> None:
    changes = Changes(10)
    changes.changed("a/b", 1)
    changes.gone("a/b", 2)
    changes.changed("a/b", 3)
    changes.gone("a/c", 4)
    changes.gone("a/c", 5)
    assert changes.drain(100) == [Change("a/b", 3), Change("a/c", 5)]


def test_gone_names_are_bounded_and_changed_ones_stay() -> None:
    changes = Changes(3)
    changes.changed("a/live", 1)
    for index in range(2, 50):
        changes.gone(f"a/{index}", index)
    assert [change.name for change in changes.drain(100)] == ["a/live", "a/47", "a/48", "a/49"]


def test_reset_keeps_what_is_gone() -> None:
    changes = Changes(3)
    changes.changed("a/old", 1)
    changes.gone("a/gone", 2)
    changes.gone("a/back", 3)
    changes.reset(["a/back", "a/new"], 9)
    assert changes.drain(100) == [Change("a/gone", 2), Change("a/back", 9), Change("a/new", 9)]


def test_a_bounded_drain_leaves_the_rest_and_forgets_nothing() -> None:
    changes = Changes(10)
    changes.reset([f"n/{i}" for i in range(7)], 5)
    changes.gone("n/x", 6)
    told = []
    while len(changes):
        part = changes.drain(3)
        assert 0 < len(part) <= 3
        told += [change.name for change in part]
    assert sorted(told) == [*(f"n/{i}" for i in range(7)), "n/x"]
    assert changes.drain(3) == []
