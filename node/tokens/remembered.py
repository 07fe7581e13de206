"""Answers remembered for seconds: asked for once by all who want one, asked for again before they are old.

Why it exists: a client that writes in a loop must not wait for the API server at every request, nor the API server for
it. What it refuses to do: remember without an end. Each answer has an age at which it is not fresh, and another one at
which it is not used even while nobody answers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from node.clock import Clock
from node.tokens.kube import Away

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

PATIENCE: Final = 0.5
"""Seconds to wait for a fresh answer when an old one could still be used."""


class Remembered(Generic[Key, Answer]):
    """`fresh(answer)`: seconds it is used without asking; from half of it on it is asked for again meanwhile.
    `grace(answer)`: seconds it may be used when asking is in vain. `limit`: answers kept, the least used go."""

    def __init__(
        self,
        ask: Callable[[Key], Awaitable[Answer]],
        clock: Clock,
        *,
        fresh: Callable[[Answer], float],
        grace: Callable[[Answer], float],
        limit: int,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._fresh = fresh
        self._grace = grace
        self._limit = limit
        self._answers: OrderedDict[Key, tuple[Answer, float]] = OrderedDict()
        self._flights: dict[Key, asyncio.Task[Answer]] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether an answer is at hand, of whatever age."""
        return key in self._answers

    def at_hand(self, key: Key) -> Answer | None:
        """The answer if it is so new that nobody has to be asked even meanwhile, None otherwise (then `get` it): most
        requests, for the cost of a look. It does not count as use; `get` will, before the answer is old."""
        known = self._answers.get(key)
        if known is None or self._clock.now() - known[1] > self._fresh(known[0]) / 2:
            return None
        return known[0]

    async def get(self, key: Key) -> Answer:
        """The answer; without any waiting if it is fresh. Raises Away."""
        known = self._answers.get(key)
        if known is None:
            return await asyncio.shield(self._flight(key))
        answer, at = known
        age, fresh = self._clock.now() - at, self._fresh(answer)
        self._answers.move_to_end(key)
        if age < fresh:
            if age > fresh / 2:
                self._flight(key)
            return answer
        if age >= self._grace(answer):
            return await asyncio.shield(self._flight(key))
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(self._flight(key))
        except (Away, TimeoutError):
            return answer

    def _flight(self, key: Key) -> asyncio.Task[Answer]:
        """One question at a time for a key; it goes on when those who wanted it give up."""
        task = self._flights.get(key)
        if task is None:
            task = self._flights[key] = asyncio.get_running_loop().create_task(self._fetch(key))
            task.add_done_callback(_noticed)
        return task

    async def _fetch(self, key: Key) -> Answer:
        try:
            answer = await self._ask(key)
        finally:
            del self._flights[key]
        self._answers[key] = (answer, self._clock.now())
        self._answers.move_to_end(key)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)
        return answer


def _noticed(task: asyncio.Task[Answer]) -> None:
    """A failure that nobody waited for is none."""
    if not task.cancelled():
        task.exception()
