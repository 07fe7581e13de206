"""Sessions: results by request id, forgotten by log position."""

from __future__ import annotations

import pytest

from node.store.sessions import Sessions


def rid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_window_of_positions_is_kept() -> None:
    sessions = Sessions()
    for index in range(1, 31):
        sessions.prune(index, 10)
        sessions.put(index, rid(index), b"r%d" % index)
    assert len(sessions) == 10
    assert sessions.get(rid(20)) is None and sessions.get(rid(21)) == b"r21" and sessions.get(rid(30)) == b"r30"


def test_positions_without_a_command_count_too() -> None:
    sessions = Sessions()
    sessions.put(1, rid(1), b"r")
    sessions.prune(10, 10)
    assert sessions.get(rid(1)) == b"r"
    sessions.prune(11, 10)
    assert len(sessions) == 0


def test_rows_are_those_of_the_call() -> None:
    sessions = Sessions()
    sessions.put(4, rid(1), b"a")
    rows = sessions.rows()
    sessions.put(5, rid(2), b"b")
    sessions.prune(14, 10)
    assert list(rows) == [(4, rid(1), b"a")] and list(sessions.rows()) == [(5, rid(2), b"b")]


def test_out_of_order_is_an_error() -> None:
    sessions = Sessions()
    sessions.put(4, rid(1), b"a")
    for index, number in ((4, 2), (3, 2), (5, 1)):
        with pytest.raises(ValueError, match="order"):
            sessions.put(index, rid(number), b"b")
