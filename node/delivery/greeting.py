"""From HELLO to a verified identity: the only part of a stream's life that waits for anything.

Why it exists: version, token and log index are checked here in this order, each with its own deadline and its own
answer, apart from sockets. What it refuses to do: verify a token itself, or let an error's text reach a sidecar unless
it was written for one (node.errors).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from node.delivery.limits import Limits
from node.delivery.ports import Identity
from node.errors import Rejected, Retry
from sidecar.wire import codes
from sidecar.wire import messages as m
from sidecar.wire.protocol import VERSIONS, negotiate

SETTLE_CHECK = 0.05
GRACE = 0.5
"""Seconds a wait may overrun its own timeout before it is cut off."""


class Door:
    """`verify(token)` raises Rejected with a token_* code, or Retry. `index()`: log index applied here.
    `wait_applied(index, timeout)`: whether it was applied in time. `settled()`: False while this node has just started
    and may still hear of what it missed. `stale()`: whether it has lost touch with the majority. `store()`: the
    identity of its store, "" while it knows none."""

    def __init__(
        self,
        node: str,
        verify: Callable[[str], Awaitable[Identity]],
        index: Callable[[], int],
        wait_applied: Callable[[int, float], Awaitable[bool]],
        settled: Callable[[], bool],
        limits: Limits,
        stale: Callable[[], bool],
        store: Callable[[], str],
    ) -> None:
        self._node = node
        self._verify = verify
        self._index = index
        self._wait_applied = wait_applied
        self._settled = settled
        self._limits = limits
        self._stale = stale
        self._store = store

    async def identify(self, token: str) -> Identity:
        """Raises Rejected, or Retry if it cannot be known now."""
        try:
            async with asyncio.timeout(self._limits.verifying):
                return await self._verify(token)
        except TimeoutError:
            raise Retry(f"{self._node} could not get the keys to verify the token with in time") from None

    async def admit(self, hello: m.Hello) -> tuple[Identity, int]:
        """The identity and the protocol version of a stream, which may begin after `catch_up`. Raises Rejected or
        Retry."""
        version = negotiate(hello.versions)
        if version is None:
            spoken = ", ".join(map(str, VERSIONS))
            raise Rejected(
                f"{self._node} speaks protocol version {spoken} only",
                code=codes.VERSION,
                hint="upgrade the older of the two: nodes first",
            )
        return await self.identify(hello.token), version

    def foreign(self, hello: m.Hello) -> bool:
        """Whether its files are of another store than this node's, so that neither index nor versions compare."""
        return bool(hello.store) and self._store() not in ("", hello.store)

    async def catch_up(self, hello: m.Hello) -> None:
        """Versions never go back: a node that knows less than the sidecar waits, then sends it elsewhere. So does one
        that knows nothing at all: its "there is nothing for you" would be believed. Raises Retry; `behind` if this node
        has the majority's word that there is no more to come."""
        while not self._settled():  # noqa: ASYNC110 - seconds after a start, and nobody has an event for it
            await asyncio.sleep(SETTLE_CHECK)
        index = 1 if self.foreign(hello) else max(hello.index, 1)
        if index <= self._index():
            return
        try:
            async with asyncio.timeout(self._limits.behind + GRACE):
                reached = await self._wait_applied(index, self._limits.behind)
        except TimeoutError:
            reached = False
        if not reached:
            raise Retry(
                f"{self._node} is at index {self._index()} of the log, behind the {index} this sidecar has seen",
                code=codes.BEHIND if self._index() and not self._stale() else codes.UNAVAILABLE,
                hint="another node may have it already; if none has, the store was restored from an older backup: "
                "recreate the pod, its files stay until then",
            )
