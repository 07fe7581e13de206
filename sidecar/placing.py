"""When the files are written: one Place at a time, again after a failure, and what was taken away before the rest.

Why it exists: writing may take seconds (a template) or fail for hours (a full volume), and streams come and go in the
meantime; a revoked value waits for neither. What it refuses to do: ask for a second Place while one is under way, but
for one that only removes, which then takes its place; know a node; touch a file.
"""

from __future__ import annotations

from typing import Final

from sidecar.actions import Action, Log, Place
from sidecar.inventory import Inventory
from sidecar.wire import messages as m

REPLACE: Final = 5.0
"""Seconds before files that could not be written (a full volume) are tried again."""
RENDER_AGAIN: Final = 60.0
"""The same for a file that could not be rendered: only new secrets or another template can mend that, and a SYNC tries
anyway. A minute, because each attempt may start a process."""
HURRY: Final = 0.4
"""Seconds that what was taken away waits for templates it has nothing to do with. Enough for most, and it leaves the
greater part of the second in which a revocation has to be in force."""


class Placing:
    """The files of one set. Each Place that is asked for is answered by placed() or failed(), unless another replaced
    it. `error` and `render`: what is wrong with the files, as in a receipt."""

    def __init__(self, inventory: Inventory) -> None:
        self._set = inventory
        self._under_way: Place | None = None
        self._more = False  # something is due that the one under way does not hold
        self._retry_at: float | None = None
        self._hurry_at: float | None = None
        self._failure = ""
        self.error = ""
        self.dropped = ""  # rendered files that are not there because a secret of theirs was taken away, and why

    @property
    def render(self) -> str:
        """The files that could not be made, and those that are gone, with the reasons."""
        failure = "" if self._failure in self.dropped else self._failure
        return "; ".join(filter(None, (failure, self.dropped)))[: m.MAX_TEXT]

    @property
    def due(self) -> float | None:
        """When woken() has to be called."""
        return min((at for at in (self._retry_at, self._hurry_at) if at is not None), default=None)

    def committed(self, now: float) -> list[Action]:
        """A SYNC was taken."""
        if self._under_way is None:
            return [self._ask(now, self._set.place())]
        self._more = True
        if self._hurry_at is None and not self._under_way.partial and self._set.removals() is not None:
            self._hurry_at = now + HURRY
        return []

    def woken(self, now: float) -> list[Action]:
        """Early calls do no harm."""
        if self._hurry_at is not None and now >= self._hurry_at:
            self._hurry_at = None
            if (part := self._set.removals()) is not None:
                self._more = True  # the one under way is given up for this
                return [self._ask(now, part)]
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            if self._under_way is None:
                return [self._ask(now, self._set.place())]
            self._more = True
        return []

    def placed(self, now: float, place: Place, dropped: str) -> list[Action]:
        """This one is in the files. What to do next, for after the receipt."""
        self._set.placed(place)
        news: list[Action] = [Log(dropped)] if dropped not in ("", self.dropped) else []
        self.dropped = dropped
        if not place.partial:  # else the rest is still due, and its failure the first thing to know
            self._retry_at, self.error, self._failure = None, "", ""
        return [*news, *self._next(now)]

    def failed(self, now: float, place: Place, code: str, render: str) -> list[Action]:
        """This one is not in the files, and what was there before still is. What to do next, for after the receipt."""
        self.error, self._failure = code, render
        self._retry_at = now + (RENDER_AGAIN if render else REPLACE)
        part = None if place.partial else self._set.removals()
        if part is not None:
            return [self._ask(now, part)]
        following = self._next(now)
        if place.partial:
            self._hurry_at = None  # what would be hurried has just failed by itself
        return following

    def _next(self, now: float) -> list[Action]:
        self._under_way = self._hurry_at = None
        if not self._more:
            return []
        return [self._ask(now, self._set.place())]

    def _ask(self, now: float, place: Place) -> Place:
        self._under_way = place
        if place.partial:
            self._hurry_at = None
        else:
            self._more = False  # this one holds all that is due
            self._hurry_at = now + HURRY if None in place.changes.values() else None
        return place
