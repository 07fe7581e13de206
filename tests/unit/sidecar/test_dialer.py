"""Which addresses in which order, and when."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sidecar.dialer import FIRST_BACK_OFF, LAST_BACK_OFF, REFUSED_PAUSE, Dialer, Route, order
from sidecar.settings import Node

NODES = tuple(Node(f"safe-{n}", 8400) for n in range(3))
ROUTES = [Route(node, f"10.0.0.{n}") for n, node in enumerate(NODES)]
SERVICE = [Route(Node("safe", 8400), f"10.0.0.{n}") for n in range(3)]
ALL = st.permutations(ROUTES + SERVICE)


@given(ALL, st.lists(st.sampled_from(ROUTES), unique=True), st.floats(0, 1))
def test_every_address_is_tried_once_and_the_shunned_ones_last(found, shunned, chance):
    tried = order(found, tuple(shunned), chance)
    assert sorted(route.address for route in tried) == sorted({route.address for route in found})
    addresses = [route.address for route in tried]
    assert addresses[len(tried) - len(shunned) :] == [route.address for route in shunned]


def test_sidecars_begin_everywhere_also_when_one_address_is_shunned():
    first = Counter(order(ROUTES, (), n / 300)[0] for n in range(300))
    assert set(first.values()) == {100}
    rest = Counter(order(ROUTES, (ROUTES[1],), n / 300)[0] for n in range(300))
    assert rest == {ROUTES[0]: 150, ROUTES[2]: 150}, "not all of them to the neighbour in the list"


def test_one_name_of_several_addresses_is_as_good_as_a_list():
    assert order(SERVICE, (SERVICE[0],), 0)[0].address != SERVICE[0].address
    assert len(order(SERVICE, (), 0.9)) == 3


def test_an_address_that_moved_is_not_held_against_the_node():
    moved = [Route(NODES[0], "10.0.0.9")]
    assert order(moved, (ROUTES[0],), 0) == moved


def test_shunning_is_a_preference_and_ends():
    dialer = Dialer(NODES[:1])
    dialer.reached(ROUTES[0])
    dialer.shun(0.0, 10.0)
    assert dialer.shunned(5.0) == (ROUTES[0],) and order(ROUTES[:1], (ROUTES[0],), 0) == ROUTES[:1]
    assert dialer.shunned(10.0) == ()


def test_who_was_shunned_first_is_forgiven_first():
    dialer = Dialer(NODES)
    for at, route in enumerate(reversed(ROUTES)):
        dialer.reached(route)
        dialer.shun(float(at))
    assert dialer.shunned(5.0) == tuple(reversed(ROUTES))
    dialer.shun(1.0, 1.0)
    assert dialer.shunned(5.0)[-1] == ROUTES[0], "a shorter term does not end a longer one"


def test_shunned_addresses_do_not_pile_up():
    dialer = Dialer(NODES)
    for n in range(1000):
        dialer.reached(Route(NODES[0], f"10.1.{n // 250}.{n % 250}"))
        dialer.shun(0.0)
    assert len(dialer.shunned(1.0)) == 64


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
