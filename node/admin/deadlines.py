"""The deadline of every request, kept by one timer.

Why it exists: a timer for each request costs more than the rest of its admission, and nearly none of them ever fires.
What it refuses to do: end anything early, or by other means than asyncio's own timeout.
"""

from __future__ import annotations

import asyncio


class Deadlines:
    """All scopes have the same length, so the oldest ends first. Use from one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, scope: asyncio.Timeout) -> None:
        """`scope` has been entered, without a deadline of its own; it gets one."""
        loop = asyncio.get_running_loop()
        end = self._ends[scope] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(end, self._due)

    def leave(self, scope: asyncio.Timeout) -> None:
        """What `scope` is around has ended."""
        self._ends.pop(scope, None)

    def _due(self) -> None:
        """Ends what is due, and waits for the oldest of the others: while requests come and go, once in a length."""
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        while self._ends:
            scope, end = next(iter(self._ends.items()))
            if end > now:
                self._timer = loop.call_at(end, self._due)
                return
            del self._ends[scope]
            scope.reschedule(now)
