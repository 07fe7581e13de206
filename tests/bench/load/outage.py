"""How long nobody acknowledges: PUTs every few ms at the surviving nodes while something happens to the leader.

Why it exists: a client that waits for its last answer would measure that one request; here a new PUT leaves every few
ms over a connection that is warm and idle, whatever became of those before it.
What it refuses to do: count an acknowledgement of a PUT that was sent before the event.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Sequence

from children import BenchError
from load.api import OK, Api
from load.wire import Broken, NotSent, Wire

SIZE = 64
CONNECTIONS = 120
"""To each surviving node."""
BEFORE = (0.3, 0.6)
"""Seconds of probing before the event: at no fixed phase of the heartbeats."""
PATIENCE = 15.0
DEADLINE = 8.0
"""Seconds for the PUTs still under way at the end; a node answers within 5."""


@dataclasses.dataclass
class Outage:
    """Seconds. `first`: event to the first acknowledgement. `slowest`: the longest that a PUT took which was sent
    after the event. `refused`: PUTs with an error status, `broken`: without an answer."""

    first: float = -1.0
    slowest: float = 0.0
    refused: int = 0
    broken: int = 0


class Prober:
    def __init__(self, api: Api, nodes: Sequence[str], period: float) -> None:
        self.api, self.nodes, self.period = api, nodes, period
        self.found = Outage()
        self._idle: dict[str, list[Wire]] = {}
        self._event = float("inf")
        self._acknowledged = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()

    async def open(self) -> None:
        """Warm connections: each has carried a PUT."""
        for node in self.nodes:
            port = self.api.ports[node]
            self._idle[node] = [await Wire.dial(port, self.api.context) for _ in range(CONNECTIONS)]
            for wire in self._idle[node]:
                await wire.ask(self._request())

    def _request(self) -> bytes:
        return self.api.put(f"probe-{next(self._numbers) % 100}", SIZE)

    async def run(self, event: Callable[[], float]) -> Outage:
        """`event` happens while probing goes on, and returns the monotonic time it began. Raises BenchError."""
        sending = asyncio.ensure_future(self._send())
        try:
            await asyncio.sleep(random.uniform(*BEFORE))
            self._event = event()
            async with asyncio.timeout(PATIENCE):
                await self._acknowledged.wait()
        except TimeoutError:
            raise BenchError(f"no PUT was acknowledged within {PATIENCE:g} s") from None
        finally:
            sending.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DEADLINE)
            self.found.broken += len(late)
        return self.found

    async def _send(self) -> None:
        for node in itertools.cycle(self.nodes):
            if self._idle[node]:
                task = asyncio.ensure_future(self._put(node, self._idle[node].pop(0)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self.period)

    async def _put(self, node: str, wire: Wire) -> None:
        begin = time.monotonic()
        try:
            status, _ = await wire.ask(self._request())
        except (Broken, NotSent):
            self.found.broken += begin > self._event
            return
        self._idle[node].append(wire)
        if begin <= self._event:
            return
        now = time.monotonic()
        self.found.slowest = max(self.found.slowest, now - begin)
        if status != OK:
            self.found.refused += 1
        elif not self._acknowledged.is_set():
            self.found.first = now - self._event
            self._acknowledged.set()

    async def close(self) -> None:
        for wire in itertools.chain.from_iterable(self._idle.values()):
            wire.close()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)


async def measure(api: Api, nodes: Sequence[str], period: float, event: Callable[[], float]) -> Outage:
    """Open, probe, close."""
    prober = Prober(api, nodes, period)
    await prober.open()
    try:
        return await prober.run(event)
    finally:
        await prober.close()
