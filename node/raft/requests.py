"""Requests to the leader over a peer connection: proposals and read indexes from nodes that do not lead.

Why it exists: any node answers a client; the library's own forwarding hangs, repeats or reports failure for what was
committed. Here a request has an id for its connection's life, and an outcome that is known or "unknown: ask again with
the same request id" (the state machine makes that safe).
What it refuses to do: outlive the connection it was sent on, or queue for a leader that is not there.
"""

from __future__ import annotations

import asyncio
from typing import Any

from node.raft.frame import LOST

Outcome = tuple[str, Any]


class Requests:
    """Requests in flight by id, with the member each was sent to."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[Outcome]]] = {}

    def open(self, member: str) -> tuple[int, asyncio.Future[Outcome]]:
        """A new request to a member: its id, and the future outcome."""
        self._next += 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = (member, future)
        return self._next, future

    def answered(self, member: str, number: int, outcome: str, value: Any) -> None:
        """An answer arrived; one from another member than asked is ignored."""
        asked, future = self._waiting.get(number, ("", None))
        if future is not None and asked == member:
            del self._waiting[number]
            if not future.done():
                future.set_result((outcome, value))

    def forget(self, number: int) -> None:
        """The caller's deadline passed."""
        self._waiting.pop(number, None)

    def lost(self, member: str) -> None:
        """The connection closed: outcomes unknown."""
        for number in [n for n, (asked, _) in self._waiting.items() if asked == member]:
            _, future = self._waiting.pop(number)
            if not future.done():
                future.set_result((LOST, None))
