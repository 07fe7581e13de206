"""When the application is told that its files have changed, and how often it is tried: the pure part.

Why it exists: an application that reloads wants one word for a burst of changes, never two at once, and never one for
files that did not change; rules about order and time are trusted when every order can be tried.
What it refuses to do: tell anybody, look at a clock, or hold up the files: it hears of a swap when that is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar.rules import Notify

PATIENCE: Final = 4
"""In debounces: changes that never pause are told at least that often."""
FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 10.0
"""Seconds between attempts, doubling."""


@dataclass(slots=True)
class Tally:
    """Counts of this process. `error`: why the last one failed, "" if it did not."""

    notified: int = 0
    failed: int = 0
    error: str = ""


class Notifier:
    """Ask `due` for when to act; call begin(), tell the application, call done()."""

    def __init__(self, rule: Notify) -> None:
        self._rule = rule
        self._due: float | None = None
        self._latest = 0.0  # a change is told no later than this
        self._waiting = False  # a change nobody has been told of
        self._attempt = 0
        self._running = False
        self.tally = Tally()

    @property
    def due(self) -> float | None:
        """Monotonic seconds of the next attempt; None while there is nothing to do or one is under way."""
        return None if self._running else self._due

    def swapped(self, now: float) -> None:
        """What the application reads has changed."""
        if not self._waiting:
            self._latest = now + PATIENCE * self._rule.debounce
        self._waiting, self._attempt = True, 0
        self._due = min(now + self._rule.debounce, self._latest)

    def begin(self) -> None:
        """An attempt starts. A swap from now on asks for another."""
        self._running, self._waiting, self._due = True, False, None

    def done(self, now: float, error: str) -> bool:
        """It ended, with "" for success. True for what is worth telling: a new failure, each end of a notification."""
        self._running = False
        news = error != self.tally.error
        self.tally.error = error
        if not error:
            self.tally.notified += 1
            self._attempt = 0
            return True
        if self._waiting:
            return news  # a newer change is on its way with attempts of its own
        if self._attempt < self._rule.retries:
            self._attempt += 1
            self._due = now + min(LAST_RETRY, FIRST_RETRY * (1 << (self._attempt - 1)))
            return news
        self.tally.failed += 1
        self._attempt = 0
        return True
