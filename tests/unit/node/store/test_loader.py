"""A snapshot that is not whole and well-formed is Fatal, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.errors import Fatal
from node.store import commands as c
from node.store.fsm import Store

Rows = list[list[Any]]


def parts(log: Any) -> tuple[dict[str, Any], Rows]:
    """Header and rows: 0-1 keys, 2-3 tombstones, 4 record a/b, 5-6 its versions, 7 record a/c, then sessions."""
    for generation in (1, 2):
        log.do(log.key(generation))
    for name in ("z/1", "z/2"):
        log.do(log.put(name))
        log.do(log.make(c.Purge, name))
    for name in ("a/b", "a/b", "a/b", "a/c"):
        log.do(log.put(name, grants=("x/y", "x/z")))
    header, *chunks = [msgpack.unpackb(chunk) for chunk in log.store.capture()]
    return header, [row for chunk in chunks for row in chunk]


def load(header: Any, rows: Rows) -> Any:
    return Store.load([msgpack.packb(header), msgpack.packb(rows)])


def test_the_parts_are_those_of_a_good_snapshot(log: Any) -> None:
    header, rows = parts(log)
    assert [row[0] for row in rows[:9]] == [0, 0, 1, 1, 2, 3, 3, 2, 4]
    store = Store()
    store.adopt(load(header, rows))
    assert list(store.capture()) == list(log.store.capture())


def swap(one: int, two: int) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[one], rows[two] = rows[two], rows[one]

    return change


def put(row: int, column: int, value: Any) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[row][column] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        swap(0, 1),
        swap(1, 2),
        swap(4, 7),
        swap(5, 6),
        swap(8, 9),
        swap(3, 5),
        *(lambda rows, number=number: rows.pop(number) for number in range(9)),
        *(lambda rows, number=number: rows[number].pop() for number in range(9)),
        *(lambda rows, number=number: rows[number].append(1) for number in range(9)),
        lambda rows: rows.append([9, 1]),
        lambda rows: rows.append([]),
        lambda rows: rows.append(5),
        lambda rows: rows.insert(3, list(rows[2])),
        put(0, 1, -1),
        put(0, 2, b""),
        put(2, 1, "junk"),
        put(2, 1, "a/b"),
        put(2, 2, 0),
        put(4, 1, 7),
        put(4, 1, "A/B"),
        put(4, 2, True),
        put(4, 2, 2),
        put(4, 3, None),
        put(4, 6, -1),
        put(4, 8, ["x/z", "x/y"]),
        put(4, 8, ["x"]),
        put(4, 8, 7),
        put(4, 8, [7]),
        put(4, 9, []),
        put(4, 9, [["..", 1]]),
        put(4, 9, [["value"]]),
        put(4, 11, b""),
        put(4, 12, "text"),
        put(4, 13, 1 << 40),
        put(4, 14, 1),
        put(4, 15, 1),
        put(5, 1, 3),
        put(5, 6, None),
        put(8, 1, 1 << 40),
        put(8, 2, 7),
        put(8, 3, "text"),
    ],
)
def test_rows_that_are_wrong(log: Any, change: Callable[[Rows], Any]) -> None:
    header, rows = parts(log)
    change(rows)
    with pytest.raises(Fatal, match="snapshot is damaged"):
        load(header, rows)


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"format": None}, {"index": 1}, {"index": "9"}, {"floor": -1}, {"records": 3}, {"keys": None}],
)
def test_headers_that_are_wrong(log: Any, change: dict[str, Any]) -> None:
    header, rows = parts(log)
    with pytest.raises(Fatal, match="snapshot is"):
        load({**header, **change}, rows)


def test_chunks_that_are_wrong(log: Any) -> None:
    header, *rows = log.store.capture()
    for chunks in ([], [b""], [b"\xc1"], [header, b"junk"], [header, b"\x05"], [b"\x90"], [bytes(5 << 20)]):
        with pytest.raises(Fatal):
            Store.load([*chunks, *rows])


def test_a_format_from_the_future_says_what_to_do(log: Any) -> None:
    header, rows = parts(log)
    with pytest.raises(Fatal) as caught:
        load({**header, "format": 2}, rows)
    assert "version" in caught.value.hint


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_changed_byte_is_fatal_or_a_state(make_log: Any, data: st.DataObject) -> None:
    parts(log := make_log())
    chunks = [bytearray(chunk) for chunk in log.store.capture()]
    chunk = data.draw(st.sampled_from(chunks))
    chunk[data.draw(st.integers(0, len(chunk) - 1))] = data.draw(st.integers(0, 255))
    try:
        state = Store.load([bytes(chunk) for chunk in chunks])
    except Fatal:
        return
    store = Store()
    store.adopt(state)
    assert Store.load(store.capture()).names == store._state.names
