"""The map keeps its order and its sums, and pages like a plain scan would."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.store import commands as c

NAMES = ["a/b", "a/b-c", "a/b.c", "a/bb", "a-b/c", "ab/c", "b/a", "b/a1", "b/c"]


def fill(log: Any, names: list[str]) -> None:
    for name in names:
        log.do(log.put(name))


def test_the_whole_list_page_by_page(log: Any) -> None:
    fill(log, list(reversed(NAMES)))
    log.do(log.make(c.Delete, "a/bb"))
    seen: list[str] = []
    while page := log.store.list(after=seen[-1] if seen else "", limit=2):
        assert len(page) <= 2
        seen += [record.name for record in page]
    assert seen == sorted(NAMES) and len(log.store) == len(NAMES) - 1


def test_nothing_matches(log: Any) -> None:
    fill(log, NAMES)
    assert log.store.list(namespace="c") == log.store.list(prefix="zz") == log.store.list(after="zz") == []
    assert log.store.list(limit=0) == [] and log.store.list(namespace="a", prefix="b/") == []


@given(
    st.none() | st.sampled_from(["a", "a-b", "ab", "b", "c"]),
    st.sampled_from(["", "a", "a/", "a/b", "b/", "b/a1", "c", "z"]),
    st.sampled_from(["", *NAMES, "a/a", "zz"]),
    st.integers(0, 12),
)
def test_a_page_is_what_a_scan_finds(namespace: str | None, prefix: str, after: str, limit: int) -> None:
    from node.store.records import Record
    from node.store.state import State

    state = State()
    for name in NAMES:
        state.put(Record(name, 1, 0, 0, 0, None, None, (), (("value", 1),), 1, b"w", b"s", 1, False, ()))
    wanted = [
        name
        for name in sorted(NAMES)
        if (namespace is None or name.startswith(namespace + "/")) and name.startswith(prefix) and name > after
    ]
    assert [record.name for record in state.page(namespace, prefix, after, limit)] == wanted[:limit]


def test_forgotten_tombstones_raise_the_floor(make_log: Any) -> None:
    log = make_log(tombstones=2)
    for name, versions in (("a/one", 5), ("a/two", 2), ("a/three", 1)):
        for _ in range(versions):
            log.do(log.put(name))
        log.do(log.make(c.Purge, name))
    assert log.store.tombstones == 2
    assert log.version(log.put("a/two")) == 3
    assert log.version(log.put("a/one")) == 6
    assert log.version(log.put("a/new")) == 6
    assert log.store.tombstones == 1
