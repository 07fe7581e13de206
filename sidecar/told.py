"""The notifier at work: its timer, its one attempt at a time, and the node told of the result a little later.

Why it exists: between the pure Notifier and the ways of telling there has to be a clock, and somebody who ends it all
with the process. What it refuses to do: run before a swap is over, or more than one attempt at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sidecar.log import log
from sidecar.notifier import Notifier
from sidecar.rules import Notify
from sidecar.telling import tell

PAUSE: Final = 0.25
"""Seconds that a result waits for others before the node hears of it: four receipts a second at most for this."""


class Told:
    """`report`: told of (error or "", how often notified, how often in vain). `settled`: called when nobody is left to
    be told of anything."""

    def __init__(
        self, rule: Notify, report: Callable[[str, int, int], None], settled: Callable[[], None] = lambda: None
    ) -> None:
        self._rule = rule
        self._notifier = Notifier(rule)
        self._report = report
        self._settled = settled
        self._timer: asyncio.TimerHandle | None = None
        self._reporting: asyncio.TimerHandle | None = None
        self._attempt: asyncio.Task[str] | None = None

    def concerned(self, ready: bool) -> bool:
        """Whether the application is to be told of a change. Unless the rule says so, the set it starts with is none:
        it starts after that one is whole (`ready`)."""
        return ready or self._rule.first

    def swapped(self, ready: bool) -> None:
        """What the application reads has changed."""
        if self.concerned(ready):
            self._notifier.swapped(time.monotonic())
            self._arm()

    def cancel(self) -> None:
        """The process ends. An attempt under way is given up, its process killed."""
        for handle in (self._timer, self._reporting, self._attempt):
            if handle is not None:
                handle.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self._notifier.due) is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._notifier.begin()
        self._attempt = asyncio.get_running_loop().create_task(tell(self._rule))
        self._attempt.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[str]) -> None:
        if task.cancelled():
            return
        failure = task.exception()
        error = f"internal error, {type(failure).__name__}" if failure is not None else task.result()
        if error and error != self._notifier.tally.error:
            log(f"the application could not be told: {error}")
        news = self._notifier.done(time.monotonic(), error)
        if not error and self._notifier.due is None:
            self._settled()
        if news and self._reporting is None:
            self._reporting = asyncio.get_running_loop().call_later(PAUSE, self._tell)
        self._arm()

    def _tell(self) -> None:
        self._reporting = None
        tally = self._notifier.tally
        self._report(tally.error, tally.notified, tally.failed)
