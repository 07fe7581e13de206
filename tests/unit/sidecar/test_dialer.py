"""Which node next, and when."""

from __future__ import annotations

from sidecar.dialer import FIRST_BACK_OFF, LAST_BACK_OFF, REFUSED_PAUSE, Dialer
from sidecar.settings import Node

NODES = tuple(Node(f"safe-{n}", 8400) for n in range(3))


def test_the_ring_is_walked_in_order():
    dialer = Dialer(NODES)
    assert [dialer.next(0)[0].host for _ in range(4)] == ["safe-1", "safe-2", "safe-0", "safe-1"]


def test_sidecars_begin_everywhere():
    begun = set()
    for n in range(10):
        dialer = Dialer(NODES)
        dialer.begin(n / 10)
        begun.add(dialer.next(0)[0])
    assert begun == set(NODES)


def test_the_turn_changes_with_each_call():
    dialer = Dialer(NODES[:1])
    assert len({dialer.next(0)[1] for _ in range(5)}) == 5


def test_who_asks_for_it_is_avoided_until_then():
    dialer = Dialer(NODES)
    first, _ = dialer.next(0)
    dialer.avoid(10.0)
    assert first not in [dialer.next(5)[0] for _ in range(6)]
    assert first in [dialer.next(11)[0] for _ in range(3)]


def test_avoiding_is_only_a_preference():
    dialer = Dialer(NODES[:1])
    dialer.avoid(10.0)
    assert dialer.next(1)[0] == NODES[0]


def test_back_off_doubles_to_its_limit_and_half_is_chance():
    low, high = Dialer(NODES), Dialer(NODES)
    lows, highs = [low.back_off(0) for _ in range(12)], [high.back_off(1) for _ in range(12)]
    assert highs[0] == FIRST_BACK_OFF and highs[-1] == LAST_BACK_OFF and highs == sorted(highs)
    assert lows == [value / 2 for value in highs]
    high.succeeded()
    assert high.back_off(1) == FIRST_BACK_OFF


def test_a_refusal_counts_once_everybody_has_refused():
    dialer = Dialer(NODES)
    assert [dialer.refused(0, 1) for _ in range(3)] == [(0, False), (0, False), (REFUSED_PAUSE, True)]
    dialer.welcomed()
    assert dialer.refused(0, 1) == (0, False)


def test_the_nodes_own_hint_is_heeded():
    dialer = Dialer(NODES)
    assert [dialer.refused(7.0, 0) for _ in range(3)][-1] == (7.0, False)
