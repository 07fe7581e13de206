"""A client that puts one secret after the other and goes to another node when its own does not take the next.

What it counts as failed: an error status, and a connection that closed after the request was sent. What it does not:
a connection refused or closed before a byte of the request had left; then the same request goes to the next node.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from load.api import OK, Api
from load.wire import Broken, NotSent, Wire

PAUSE = 0.002


@dataclasses.dataclass(frozen=True)
class Put:
    """Monotonic seconds. `wrong`: "" for an acknowledged one."""

    begin: float
    end: float
    wrong: str = ""


class Client:
    """`number` says at which node it begins, and which secret is its own. `puts` grows while it runs."""

    def __init__(self, api: Api, number: int, size: int) -> None:
        self.puts: list[Put] = []
        self._api, self._number, self._size = api, number, size
        self._nodes = list(api.ports)
        self._at = number % len(self._nodes)
        self._wire: Wire | None = None
        self.running = True

    async def run(self) -> None:
        while self.running:
            request = self._api.put(f"client-{self._number}", self._size)
            begin = time.monotonic()
            wrong = await self._put(request)
            self.puts.append(Put(begin, time.monotonic(), wrong))
        if self._wire is not None:
            self._wire.close()

    async def _put(self, request: bytes) -> str:
        while True:
            node = self._nodes[self._at]
            try:
                if self._wire is None:
                    self._wire = await Wire.dial(self._api.ports[node], self._api.context)
                status, body = await self._wire.ask(request)
            except Broken as error:
                self._move()
                return f"{node}: the connection closed before the answer came ({error})"
            except (NotSent, OSError):
                self._move()
                await asyncio.sleep(PAUSE)
            else:
                return "" if status == OK else f"{node}: {status} {body[:300].decode('utf-8', 'replace')}"

    def _move(self) -> None:
        self._wire = None
        self._at = (self._at + 1) % len(self._nodes)
