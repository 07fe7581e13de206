"""Revoked tokens end streams; an API server that is away, slow or busy does not."""

from __future__ import annotations

import asyncio

import pytest

from node.errors import Rejected, Retry
from node.tokens.kube import Away, Reviewed
from node.tokens.lane import Lane
from node.tokens.person import Person
from node.tokens.review import AGAIN, Reviews
from node.tokens.verify import Identity

NAME = "system:serviceaccount:shop:web"
WEB = Identity("shop", "web", "web-0", 4e9, NAME)
GRACE = 3600.0


class Server:
    """`dead`: tokens it does not accept."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.away = False
        self.hold: asyncio.Event | None = None
        self.asked: list[str] = []
        self.name = NAME
        self.audiences = ("raftsafe",)

    async def __call__(self, token: str, audience: str | None) -> Reviewed | None:
        assert audience == "raftsafe"
        self.asked.append(token)
        if self.hold is not None:
            await self.hold.wait()
        if self.away:
            raise Away("gone")
        return None if token in self.dead else Reviewed(Person(self.name), self.audiences)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def lane(clock) -> Lane:
    return Lane("tests", clock, rate=1e6, at_once=8, queue=64)


@pytest.fixture
def reviews(server, lane, clock) -> Reviews:
    return Reviews(server, lane, "raftsafe", clock, GRACE)


async def turn():
    for _ in range(20):
        await asyncio.sleep(0)


def revoked(reviews, token="t"):
    return reviews.revoked(token, "shop", "web")


async def test_a_dead_token_does_not_get_in(server, reviews):
    server.dead.add("t")
    with pytest.raises(Rejected) as caught:
        await reviews.admit("t", WEB)
    assert caught.value.code == "token_revoked"
    with pytest.raises(Rejected):
        await reviews.admit("t", WEB)
    assert server.asked == ["t"]  # insisting costs the API server nothing


@pytest.mark.parametrize(("name", "audiences"), [("system:serviceaccount:shop:other", ("raftsafe",)), (NAME, ())])
async def test_yes_to_something_else_is_no(server, reviews, name, audiences):
    server.name, server.audiences = name, audiences
    with pytest.raises(Rejected):
        await reviews.admit("t", WEB)


async def test_a_token_that_dies_is_noticed_within_a_minute_on_the_open_stream(server, reviews, clock):
    await reviews.admit("t", WEB)
    server.dead.add("t")
    waited = 0
    while not revoked(reviews):
        waited += 2  # the delivery door visits each stream every two seconds
        clock.monotonic += 2
        await turn()
    assert waited <= AGAIN + 4 < 60
    assert server.asked == ["t", "t"]


async def test_a_no_that_was_a_mistake_passes(server, reviews, clock):
    server.dead.add("t")
    with pytest.raises(Rejected):
        await reviews.admit("t", WEB)
    server.dead.clear()
    clock.monotonic += 11
    with pytest.raises(Rejected):  # the last answer still counts; it is being asked for again
        await reviews.admit("t", WEB)
    await turn()
    await reviews.admit("t", WEB)


async def test_nobody_waits_for_a_server_that_is_away(server, reviews, clock):
    server.away = True
    await reviews.admit("first", WEB)  # this one finds it out
    asked = len(server.asked)
    for number in range(100):
        await reviews.admit(f"t{number}", WEB)
    assert len(server.asked) == asked
    assert not revoked(reviews, "t1")


async def test_a_slow_server_delays_a_new_stream_by_its_patience_only(server, reviews, monkeypatch):
    monkeypatch.setattr("node.tokens.review.PATIENCE", 0.01)
    server.hold, server.dead = asyncio.Event(), {"t"}
    await reviews.admit("t", WEB)
    assert not revoked(reviews)
    server.hold.set()
    await turn()
    assert revoked(reviews)  # let in on trust, put out on the answer


async def test_a_crowd_neither_waits_nor_overruns_the_server(server, reviews, lane, clock):
    """10 000 streams at once: those who find the lane busy are let in, and each is asked about within its visits."""
    server.hold = asyncio.Event()
    crowd = [asyncio.create_task(reviews.admit(f"t{number}", WEB)) for number in range(10_000)]
    await turn()
    done = sum(task.done() for task in crowd)
    assert done >= 10_000 - 64 and len(server.asked) <= 8 and lane.waiting <= 64
    server.hold.set()
    await asyncio.gather(*crowd)
    assert len(server.asked) <= 64
    server.dead = {"t77", "t9999"}
    for _ in range(400):
        clock.monotonic += 0.1
        began = len(server.asked)
        for number in range(10_000):
            revoked(reviews, f"t{number}")
        await turn()
        assert len(server.asked) - began <= 64
        if len(set(server.asked)) == 10_000:
            break
    assert len(set(server.asked)) == 10_000 and len(server.asked) <= 10_000 + 4  # once each, the dead ones again
    out = {number for number in range(10_000) if revoked(reviews, f"t{number}")}
    assert out == {9999} or out == {77, 9999}  # 77 may have been among those asked before it died


async def test_after_the_grace_nobody_new_is_let_in_and_nobody_is_put_out(server, reviews, clock):
    await reviews.admit("old", WEB)
    server.away = True
    clock.monotonic += GRACE - 1
    await reviews.admit("new", WEB)
    await turn()
    clock.monotonic += 2
    with pytest.raises(Retry) as caught:
        await reviews.admit("newer", WEB)
    assert caught.value.code == "unavailable" and "SAFE_REVIEW_GRACE" in caught.value.hint
    assert not revoked(reviews, "old") and not revoked(reviews, "new")
    await turn()
    server.away = False
    clock.monotonic += 20
    assert not revoked(reviews, "old")
    await turn()
    await reviews.admit("newer", WEB)


async def test_what_is_remembered_is_bounded(server, reviews, monkeypatch):
    monkeypatch.setattr("node.tokens.review.REMEMBERED", 10)
    for number in range(50):
        await reviews.admit(f"t{number}", WEB)
    assert len(reviews._tokens) == 10
