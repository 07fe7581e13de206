"""Who is dialled when, and who wins: with attempts that do what each test says, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.dialer import Route
from sidecar.race import BUSY, HEAD_START, NoneReached, race
from sidecar.settings import Node

ROUTES = [Route(Node(f"safe-{n}", 1), f"10.0.0.{n}") for n in range(3)]


class Stream:
    closed = False

    def close(self):
        self.closed = True


class Net:
    """`tcp`, `tls`: seconds until that much stands, by address; None for never; an exception to fail with."""

    def __init__(self, tcp, tls):
        self.tcp, self.tls = tcp, tls
        self.begun, self.cancelled, self.streams = {}, [], {}

    async def attempt(self, route, answered):
        at = ROUTES.index(route)
        self.begun[at] = asyncio.get_running_loop().time()
        try:
            await self._pass(self.tcp[at])
            answered.set()
            await self._pass(self.tls[at])
        except asyncio.CancelledError:
            self.cancelled.append(at)
            raise
        self.streams[at] = Stream()
        return self.streams[at]

    @staticmethod
    async def _pass(step):
        if isinstance(step, Exception):
            raise step
        await (asyncio.Event().wait() if step is None else asyncio.sleep(step))


def run(net, chance=0.0):
    """(winner, virtual seconds it took)."""

    class Loop(asyncio.SelectorEventLoop):
        skipped = 0.0

        def time(self):
            return self.skipped

        def _run_once(self):
            if not self._ready and self._scheduled:
                self.skipped = max(self.skipped, self._scheduled[0].when())
            super()._run_once()

    loop = Loop()
    try:

        async def main():
            route, stream = await race(ROUTES, net.attempt, chance)
            took = loop.time()
            assert stream is net.streams[ROUTES.index(route)]
            await asyncio.sleep(0.01)
            return ROUTES.index(route), took

        return loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_live_first_choice_is_the_only_one_dialled():
    net = Net([0.01, 0.01, 0.01], [0.03, 0, 0])
    assert run(net) == (0, pytest.approx(0.04)) and list(net.begun) == [0]


def test_a_black_hole_costs_the_head_start():
    net = Net([None, 0.01, 0.01], [None, 0.02, 0.02])
    assert run(net) == (1, pytest.approx(HEAD_START + 0.03))
    assert net.cancelled == [0] and 2 not in net.begun


def test_two_black_holes_cost_two():
    net = Net([None, None, 0.01], [None, None, 0.02])
    assert run(net) == (2, pytest.approx(2 * HEAD_START + 0.03))


def test_a_refused_connection_costs_nothing():
    net = Net([ConnectionRefusedError(), ConnectionRefusedError(), 0.01], [0, 0, 0.02])
    assert run(net) == (2, pytest.approx(0.03))


def test_a_node_that_answered_tcp_is_given_time_before_another_is_bothered():
    net = Net([0.01, 0.01, 0.01], [0.8, 0.01, 0.01])
    assert run(net) == (0, pytest.approx(0.81)) and list(net.begun) == [0]


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_frozen_node_costs_a_second_or_two(chance):
    net = Net([0.01, 0.01, 0.01], [None, 0.01, 0.01])
    assert run(net, chance) == (1, pytest.approx(HEAD_START + BUSY * (1 + chance) + 0.02))


def test_one_that_is_late_may_still_win():
    net = Net([0.15, 0.02, 0.01], [0.01, 5.0, 0.02])
    assert run(net)[0] == 0 and list(net.begun) == [0, 1]


def test_of_two_winners_one_is_closed():
    net = Net([HEAD_START + 0.03, 0.03, 0.01], [0.0, 0.0, 0.0])
    winner, _ = run(net)
    assert len(net.streams) == 2
    assert {at: stream.closed for at, stream in net.streams.items()} == {winner: False, 1 - winner: True}


def test_when_everybody_fails_it_says_how():
    net = Net([ConnectionRefusedError(), OSError("x"), 0.01], [0, 0, TimeoutError()])
    with pytest.raises(NoneReached) as caught:
        run(net)
    assert {ROUTES.index(route): type(error) for route, error in caught.value.errors.items()} == {
        0: ConnectionRefusedError, 1: OSError, 2: TimeoutError,
    }  # fmt: skip


def test_a_mistake_of_ours_is_not_taken_for_the_network():
    net = Net([RuntimeError("ours"), 0, 0], [0, 0, 0])
    with pytest.raises(RuntimeError):
        run(net)
