from __future__ import annotations

from node.delivery.moments import STEP_BACK_MS, Moments


def test_due_in_order_and_once():
    moments = Moments()
    moments.put("b", 20, True)
    moments.put("a", 10, True)
    moments.put("c", 30, True)
    assert moments.due(9) == []
    assert moments.due(20) == ["a", "b"]
    assert moments.due(29) == []
    assert moments.due(30) == ["c"] and len(moments) == 0


def test_moved_and_dropped_moments():
    moments = Moments()
    moments.put("a", 10, True)
    moments.put("a", 50, True)
    moments.put("b", 10, True)
    moments.put("b", None, False)
    assert moments.due(10) == []
    assert moments.due(50) == ["a"]


def test_moved_back_and_forth_is_reported_once():
    moments = Moments()
    for at in (10, 20, 10):
        moments.put("a", at, True)
    assert moments.due(15) == ["a"] and moments.due(25) == []


def test_a_clock_set_back_asks_for_everything_with_a_window():
    moments = Moments()
    moments.put("past", 10_000, True)
    moments.put("future", 90_000, True)
    moments.put("gone", 90_000, True)
    moments.put("gone", None, False)
    assert moments.due(50_000) == ["past"]
    assert moments.due(50_000 - STEP_BACK_MS) == []  # slewed, not set
    assert moments.due(5_000) == ["future", "past"]
    assert moments.due(6_000) == []


def test_leftovers_are_bounded():
    moments = Moments()
    for at in range(10_000):
        moments.put("a", at + 1, True)
    assert len(moments) == 1 and len(moments._heap) < 200
    assert moments.due(10_000) == ["a"]
