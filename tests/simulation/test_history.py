"""The checker on histories made by hand: it must accept what one map could do and name what none could."""

from __future__ import annotations

import pytest
from history import Operation, Violation, check


def put(value: str, start: float, end: float | None, version: int | None, key: str = "k") -> Operation:
    return Operation(0, "put", key, value.encode(), start, end, version)


def get(value: str, start: float, end: float, version: int, key: str = "k") -> Operation:
    return Operation(1, "get", key, value.encode(), start, end, version)


@pytest.mark.parametrize(
    "history",
    [
        [put("a", 0, 1, 1), get("a", 2, 3, 1), put("b", 4, 5, 2), get("b", 6, 7, 2)],
        [put("a", 0, 1, 1), put("b", 2, 6, 2), get("a", 3, 4, 1), get("b", 4.5, 5, 2)],  # overlapping: either order
        [put("a", 0, None, None), get("", 1, 2, 0), get("a", 3, 4, 1)],  # an unknown outcome takes effect late
        [put("a", 0, None, None), get("", 9, 10, 0)],  # or never
        [put("b", 0, 5, 2), put("a", 0, 5, 1)],
        [put("a", 0, 1, 1), get("", 2, 3, 0, key="other")],
    ],
)
def test_possible(history: list[Operation]) -> None:
    check(history)


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([put("a", 0, 1, 1), get("", 2, 3, 0)], "older version"),  # a lost acknowledged write
        ([put("a", 0, 1, 1), put("b", 2, 3, 2), get("a", 4, 5, 1)], "older version"),  # a stale read
        ([put("a", 0, 9, 1), put("b", 0, 9, 2), get("b", 1, 2, 2), get("a", 3, 4, 1)], "older version"),
        ([put("a", 0, 1, 1), put("b", 2, 3, 1)], "two values"),  # one overwrote the other
        ([put("a", 0, 1, 1), put("b", 0, 1, 3), get("a", 2, 3, 2)], "took effect twice"),
        ([put("a", 0, 1, 1), get("x", 2, 3, 2)], "nobody wrote"),
        ([get("a", 0, 1, 1), put("a", 2, 3, 1)], "before it was written"),
        ([put("a", 0, 1, 2), put("b", 2, 3, 1)], "older version"),
        ([put("a", 0, 1, 0)], "no version"),
    ],
)
def test_impossible(history: list[Operation], why: str) -> None:
    with pytest.raises(Violation, match=why):
        check(history)
