"""A whole node as `safe-node` runs it, with a way in: secrets are loaded without HTTP, and its loop is watched.

Started by rows/big.py. `options`: the environment of the node. Secrets are sealed by the node's own keyring and go
through its Raft, its log and its store, as the admin API would have it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from typing import Any

import uvloop
from workers import control

from node import settings
from node.__main__ import harden, set_up_logging
from node.app import App
from node.clock import SystemClock
from node.store import commands

PERIOD = 0.005
TIMEOUT = 10.0
FIELD = "value"
GRANTS = ("demo/web",)


class Ticker:
    """How late the loop is at worst: it should come round every PERIOD."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def run(self) -> None:
        while True:
            due = time.perf_counter() + PERIOD
            await asyncio.sleep(PERIOD)
            self.worst = max(self.worst, time.perf_counter() - due)


class Loaded:
    """Answers what rows/big.py asks."""

    def __init__(self, app: App) -> None:
        self.app, self.ticker = app, Ticker()
        self._writers: list[asyncio.Task[None]] = []
        self._written = itertools.count()

    async def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await getattr(self, "do_" + asked.pop("do"))(**asked)
        return found

    async def do_state(self) -> dict[str, Any]:
        """`ready`: serving, in step, and a voter (a learner is not)."""
        if not hasattr(self.app.raft, "core") or not self.app.keyring.generation:
            return {"ready": False}
        found = self.app.raft.status()
        voter = found.state in ("leader", "follower")
        return {
            "ready": found.ready and voter and found.applied >= found.commit_index,
            "leader": found.state == "leader",
            "secrets": len(self.app.store),
        }

    async def _put(self, name: str, value: bytes) -> None:
        write_id = os.urandom(16)
        generation, sealed = self.app.keyring.seal_value(name, write_id, {FIELD: value})
        command = commands.Put(
            rid=os.urandom(commands.RID_SIZE),
            t=self.app.clock.wall_ms(),
            actor="bench",
            name=name,
            fields=((FIELD, len(value)),),
            generation=generation,
            write_id=write_id,
            sealed=sealed,
            grants=GRANTS,
        )
        await self.app.raft.propose(commands.encode(command), TIMEOUT)

    async def do_load(self, count: int, size: int, callers: int) -> dict[str, Any]:
        numbers = iter(range(count))
        value = os.urandom(size)

        async def caller() -> None:
            for number in numbers:
                await self._put(f"bench/s-{number:06}", value)

        self.ticker.worst, begin = 0.0, time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return {"seconds": time.perf_counter() - begin, "stall": self.ticker.worst * 1000}

    async def do_write(self, writers: int, size: int) -> dict[str, Any]:
        """Begin to overwrite `writers` of the secrets without end."""

        async def writer(number: int) -> None:
            while True:
                await self._put(f"bench/s-{number:06}", os.urandom(size))
                next(self._written)

        self._writers = [asyncio.ensure_future(writer(number)) for number in range(writers)]
        return {}

    async def do_rest(self) -> dict[str, Any]:
        """End the writers. Raises what one of them met."""
        ended = [task for task in self._writers if task.done()]
        for task in self._writers:
            task.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        for task in ended:
            task.result()
        return {"written": next(self._written)}

    async def do_watch(self, seconds: float) -> dict[str, Any]:
        """The worst stall of some time in which nothing special happens, ms."""
        self.ticker.worst = 0.0
        await asyncio.sleep(seconds)
        return {"stall": self.ticker.worst * 1000}

    async def do_snapshot(self) -> dict[str, Any]:
        """Take a snapshot; the worst stall from before it to a moment after it, ms, and how long it took, s."""
        core = self.app.raft.core
        while core.snapshotting:
            await asyncio.sleep(PERIOD)
        await asyncio.sleep(0.1)
        self.ticker.worst, begin = 0.0, time.perf_counter()
        core.request_snapshot()
        self.app.raft.kick()
        while core.snapshotting:
            await asyncio.sleep(PERIOD)
        took = time.perf_counter() - begin
        await asyncio.sleep(0.2)
        return {"stall": self.ticker.worst * 1000, "seconds": took}


async def main() -> None:
    loaded = settings.load(json.loads(sys.argv[1]))
    set_up_logging(loaded.log_level)
    harden()
    app, stop = App(loaded, SystemClock()), asyncio.Event()
    node = Loaded(app)
    running = asyncio.ensure_future(app.run(stop))
    ticking = asyncio.ensure_future(node.ticker.run())
    answering = asyncio.ensure_future(control.serve(node.handle))
    await asyncio.wait([running, answering], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    ticking.cancel()
    answering.cancel()


if __name__ == "__main__":
    uvloop.run(main())
