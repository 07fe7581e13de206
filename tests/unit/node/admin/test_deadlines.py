"""One timer ends each scope when its own time is over, and no other."""

from __future__ import annotations

import asyncio

import pytest

from node.admin.deadlines import Deadlines


async def within(deadlines: Deadlines, work) -> None:
    async with asyncio.timeout(None) as scope:
        deadlines.watch(scope)
        try:
            await work
        finally:
            deadlines.leave(scope)


async def test_what_takes_too_long_ends_with_a_timeout_and_not_before():
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(TimeoutError):
        await within(Deadlines(0.2), asyncio.sleep(30))
    assert loop.time() - begin >= 0.19


async def test_each_has_its_own_end_after_the_first_timer_has_fired():
    deadlines = Deadlines(0.2)
    first = asyncio.ensure_future(within(deadlines, asyncio.sleep(0.02)))
    await asyncio.sleep(0.1)
    begin = asyncio.get_running_loop().time()
    second = asyncio.ensure_future(within(deadlines, asyncio.sleep(30)))
    third = asyncio.ensure_future(within(deadlines, asyncio.sleep(0.15)))
    await first
    await third
    with pytest.raises(TimeoutError):
        await second
    assert asyncio.get_running_loop().time() - begin >= 0.19


async def test_a_cancelled_request_is_cancelled_and_not_late():
    task = asyncio.ensure_future(within(Deadlines(30), asyncio.sleep(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
