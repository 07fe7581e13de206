from __future__ import annotations

import asyncio
import dataclasses

import pytest

from node.delivery.greeting import Door
from node.delivery.limits import Limits
from node.errors import Rejected, Retry
from sidecar.wire import messages as m


def hello(index=1, versions=(1,)):
    return m.Hello(versions, "token", "pod", "i", "", index)


class Node:
    """What a door asks of its node."""

    def __init__(self) -> None:
        self.index = 5
        self.asked: list[tuple[int, float]] = []
        self.reaches = True
        self.settled = True
        self.stale = False
        self.store = "one"
        self.verified: list[str] = []

    async def verify(self, token):
        self.verified.append(token)
        return f"identity of {token}"

    async def wait_applied(self, index, timeout):
        self.asked.append((index, timeout))
        return self.reaches

    def door(self, **limits) -> Door:
        return Door(
            "safe-0",
            self.verify,
            lambda: self.index,
            self.wait_applied,
            lambda: self.settled,
            Limits(**limits),
            lambda: self.stale,
            lambda: self.store,
        )


@pytest.fixture
def node():
    return Node()


async def test_a_good_one(node):
    assert await node.door().admit(hello()) == ("identity of token", 1)
    assert node.asked == []


async def test_version_is_checked_before_the_token(node):
    with pytest.raises(Rejected) as refused:
        await node.door().admit(hello(versions=(98, 99)))
    assert refused.value.code == "version" and refused.value.hint and node.verified == []


async def test_token_is_checked_before_anything_waits_for_it(node):
    async def verify(token):
        raise Rejected("no", code="token_expired")

    node.verify = verify
    with pytest.raises(Rejected):
        await node.door().admit(hello(index=99))
    assert node.asked == []


async def test_keys_that_do_not_come_in_time(node):
    async def verify(token):
        await asyncio.sleep(3600)

    node.verify = verify
    with pytest.raises(Retry) as refused:
        await node.door(verifying=0.01).admit(hello())
    assert refused.value.code == "unavailable"


async def test_behind_waits_and_then_says_so(node):
    await node.door(behind=1.5).catch_up(hello(index=9))
    assert node.asked == [(9, 1.5)]
    node.reaches = False
    for node.stale, code in ((False, "behind"), (True, "unavailable")):
        with pytest.raises(Retry) as refused:
            await node.door().catch_up(hello(index=9))
        assert "index 5" in refused.value.message and "9" in refused.value.message
        assert refused.value.code == code and "recreate the pod" in refused.value.hint


async def test_an_index_of_another_store_says_nothing(node):
    node.reaches = False
    await node.door().catch_up(dataclasses.replace(hello(index=9), store="two"))
    assert node.asked == []
    for node.store, store in (("one", "one"), ("one", ""), ("", "two")):
        with pytest.raises(Retry):
            await node.door().catch_up(dataclasses.replace(hello(index=9), store=store))


async def test_a_wait_that_hangs_is_cut_off(node):
    async def wait_applied(index, timeout):
        await asyncio.sleep(3600)

    node.wait_applied = wait_applied
    with pytest.raises(Retry):
        await node.door(behind=0.01).catch_up(hello(index=9))


async def test_a_node_that_knows_nothing_waits_for_its_first_word(node):
    node.index, node.reaches = 0, False
    with pytest.raises(Retry) as refused:
        await node.door().catch_up(hello(index=0))
    assert refused.value.code == "unavailable"
    assert node.asked == [(1, 2.0)]


async def test_not_settled_yet(node):
    node.settled = False
    admitting = asyncio.ensure_future(node.door().catch_up(hello()))
    await asyncio.sleep(0.1)
    assert not admitting.done()
    node.settled = True
    await admitting
