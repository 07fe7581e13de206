"""Questions to the API server: a few at once, at a steady pace, none while it does not answer.

Why it exists: ten thousand sidecars that reconnect in a second must not become ten thousand reviews in that second, for
the API server's sake and for this process's (a review costs it about 1.3 ms). What it refuses to do: queue more than a
little. Who is turned away asks again when it matters: see review.py and gate.py for what holds until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from node.clock import Clock
from node.tokens.kube import Away

Answer = TypeVar("Answer")

BACKOFF: Final = 0.5
"""Seconds without a question after the first one that was not answered, doubled each time..."""
BACKOFF_MAX: Final = 15.0
"""...up to this: after an outage nodes notice within so many seconds that it is over."""

log = logging.getLogger("node.tokens")


class Lane:
    """`rate`: questions a second. `at_once`: under way together. `queue`: waiting for their turn."""

    def __init__(self, what: str, clock: Clock, *, rate: float, at_once: int, queue: int) -> None:
        self._what = what
        self._clock = clock
        self._interval = 1.0 / rate
        self._at_once = asyncio.Semaphore(at_once)
        self._queue = queue
        self._next = clock.now()
        self._quiet_until = 0.0
        self._failures = 0
        self._answered = clock.now()
        self.waiting = 0
        self.counters: dict[str, int] = dict.fromkeys(("asked", "failed", "turned_away"), 0)

    @property
    def answering(self) -> bool:
        """Whether the last question was answered (or none has been asked)."""
        return not self._failures

    @property
    def silence(self) -> float:
        """Seconds since the last answer, or since the start."""
        return self._clock.now() - self._answered

    @property
    def room(self) -> bool:
        """Whether a question asked now would be sent, rather than turned away."""
        return self.waiting < self._queue and self._clock.now() >= self._quiet_until

    async def ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Raises Away: not answered, or not even asked."""
        if not self.room:
            self.counters["turned_away"] += 1
            raise Away("too many questions wait already" if self.waiting >= self._queue else "it did not answer lately")
        self.waiting += 1
        try:
            await self._turn()
            async with self._at_once:
                return await self._asked(question)
        finally:
            self.waiting -= 1

    async def _turn(self) -> None:
        """Paced: each question has its own moment, evenly spread."""
        now = self._clock.now()
        at = max(now, self._next)
        self._next = at + self._interval
        if at > now:
            await asyncio.sleep(at - now)

    async def _asked(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        if self._clock.now() < self._quiet_until:  # those before it in the queue were not answered
            self.counters["turned_away"] += 1
            raise Away("it did not answer lately")
        self.counters["asked"] += 1
        try:
            answer = await question()
        except Away as away:
            self._failed(away)
            raise
        if self._failures:
            log.info("the API server answers %s again, after %.0f s", self._what, self.silence)
        self._failures = 0
        self._answered = self._clock.now()
        return answer

    def _failed(self, away: Away) -> None:
        """Logs the first of a row, not its repetitions."""
        self.counters["failed"] += 1
        if not self._failures:
            log.warning("the API server does not answer %s: %s", self._what, away.reason)
        pause = min(BACKOFF_MAX, BACKOFF * 2 ** min(self._failures, 10))
        self._failures += 1
        self._quiet_until = self._clock.now() + max(away.after, self._clock.uniform(0.5 * pause, pause))
