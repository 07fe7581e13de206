"""A few questions at once, paced, none while nobody answers."""

from __future__ import annotations

import asyncio

import pytest

from node.tokens.kube import Away
from node.tokens.lane import BACKOFF, BACKOFF_MAX, Lane


def lane(clock, **more):
    return Lane("tests", clock, **{"rate": 1e6, "at_once": 2, "queue": 4, **more})


async def yes():
    return True


async def nobody():
    raise Away("gone")


async def test_no_more_at_once_and_no_more_waiting_than_was_said(clock):
    its, gate, running = lane(clock), asyncio.Event(), 0
    most = 0

    async def slow():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    tasks = [asyncio.create_task(its.ask(slow)) for _ in range(4)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (running, its.waiting, its.room) == (2, 4, False)
    with pytest.raises(Away):
        await its.ask(yes)
    gate.set()
    await asyncio.gather(*tasks)
    assert (most, its.waiting, its.room) == (2, 0, True)
    assert its.counters == {"asked": 4, "failed": 0, "turned_away": 1}


async def test_questions_have_moments_of_their_own(clock, monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    its = lane(clock, rate=10.0)
    monkeypatch.setattr("node.tokens.lane.asyncio.sleep", sleep)
    for _ in range(4):
        await its.ask(yes)
    assert pauses == pytest.approx([0.1, 0.2, 0.3])


async def test_who_does_not_answer_is_left_alone_for_longer_and_longer(clock):
    its, pauses = lane(clock), []
    for _ in range(12):
        with pytest.raises(Away):
            await its.ask(nobody)
        assert not its.room and not its.answering
        with pytest.raises(Away):
            await its.ask(yes)
        began = clock.monotonic
        while not its.room:
            clock.monotonic += 0.05
        pauses.append(clock.monotonic - began)
    assert pauses[0] <= BACKOFF + 0.1 and pauses == sorted(pauses)
    assert BACKOFF_MAX / 2 <= pauses[-1] <= BACKOFF_MAX + 0.1
    assert its.counters["failed"] == 12 and its.counters["turned_away"] == 12
    assert its.silence > 10
    assert await its.ask(yes)
    assert its.answering and its.silence == 0


async def test_a_server_that_names_a_time_is_left_alone_for_it(clock):
    its = lane(clock)

    async def busy():
        raise Away("it answered 429", after=30.0)

    with pytest.raises(Away):
        await its.ask(busy)
    clock.monotonic += 29.9
    assert not its.room
    clock.monotonic += 0.2
    assert its.room


async def test_those_who_waited_behind_a_failure_are_not_sent(clock):
    its, gate = lane(clock, at_once=1), asyncio.Event()

    async def fails():
        await gate.wait()
        raise Away("gone")

    first, second = asyncio.create_task(its.ask(fails)), asyncio.create_task(its.ask(yes))
    await asyncio.sleep(0)
    gate.set()
    for task in (first, second):
        with pytest.raises(Away):
            await task
    assert its.counters["asked"] == 1


async def test_an_answer_of_no_is_an_answer(clock):
    its = lane(clock)

    async def no():
        return None

    clock.monotonic += 100
    assert await its.ask(no) is None and its.silence == 0
