"""Answers remembered for seconds."""

from __future__ import annotations

import asyncio

import pytest

from node.tokens.kube import Away
from node.tokens.remembered import Remembered


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = True
        self.away = False
        self.hold: asyncio.Event | None = None

    async def __call__(self, key: str) -> bool:
        self.asked.append(key)
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise Away("gone")
        return self.answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def remembered(server, clock):
    return Remembered(
        server, clock, fresh=lambda yes: 10.0 if yes else 2.0, grace=lambda yes: 300.0 if yes else 0.0, limit=3
    )


async def turn():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_crowd_asks_once(server, remembered):
    server.hold = asyncio.Event()
    tasks = [asyncio.create_task(remembered.get("a")) for _ in range(100)]
    await turn()
    tasks[0].cancel()  # one that gives up does not end it for the others
    await turn()
    server.hold.set()
    assert await asyncio.gather(*tasks[1:]) == [True] * 99 and server.asked == ["a"]


async def test_a_fresh_answer_costs_no_turn_of_the_loop(server, remembered):
    await remembered.get("a")
    with pytest.raises(StopIteration) as done:  # it is at its end without having waited for anything
        remembered.get("a").send(None)
    assert done.value.value is True and server.asked == ["a"]


async def test_it_is_asked_again_before_it_is_old_and_nobody_waits(server, remembered, clock):
    await remembered.get("a")
    server.answer = False
    clock.monotonic += 6
    assert await remembered.get("a") is True
    await turn()
    assert await remembered.get("a") is False and server.asked == ["a", "a"]


async def test_no_is_forgotten_sooner(server, remembered, clock):
    server.answer = False
    assert await remembered.get("a") is False
    server.answer = True
    clock.monotonic += 2.1
    assert await remembered.get("a") is True


async def test_yes_outlives_the_server_for_a_while_and_no_does_not(server, remembered, clock):
    await remembered.get("yes")
    server.answer = False
    await remembered.get("no")
    server.away = True
    clock.monotonic += 299
    assert await remembered.get("yes") is True
    with pytest.raises(Away):
        await remembered.get("no")
    clock.monotonic += 2
    with pytest.raises(Away):
        await remembered.get("yes")


async def test_a_server_that_is_slow_holds_up_nobody_who_has_an_answer(server, remembered, clock, monkeypatch):
    monkeypatch.setattr("node.tokens.remembered.PATIENCE", 0.01)
    await remembered.get("a")
    server.hold = asyncio.Event()
    clock.monotonic += 20
    assert await remembered.get("a") is True
    assert server.asked == ["a", "a"]
    server.hold.set()
    await turn()


async def test_the_least_used_go(server, remembered):
    for key in ("a", "b", "c", "a", "d"):
        await remembered.get(key)
    assert [key for key in "abcd" if key in remembered] == ["a", "c", "d"]


async def test_at_hand_is_only_what_needs_no_question(server, remembered, clock):
    assert remembered.at_hand("a") is None
    await remembered.get("a")
    assert remembered.at_hand("a") is True
    clock.monotonic += 5.5  # past half of its time it has to be asked for again, which `get` does
    assert remembered.at_hand("a") is None
    assert await remembered.get("a") is True
    await turn()
    assert remembered.at_hand("a") is True and server.asked == ["a", "a"]
