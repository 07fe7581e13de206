"""Whether this process was held up just now: suspended with its machine, frozen by a cgroup, starved.

Why it exists: a change that lay unread in a socket meanwhile may be one its client gave up on long ago; carried out
late it would replace what was written since, an old password the new one.
What it refuses to do: guess at requests that were delayed on the way here; only a deadline of the client's own could.
"""

from __future__ import annotations

from typing import Final

from node.clock import Clock

BEAT: Final = 0.1
"""Seconds between two beats of a process that runs."""
HELD_UP: Final = 1.0
"""Seconds without a beat that count: far more than any pause of a healthy node, less than a client's patience."""
AFTERWARDS: Final = 0.5
"""Seconds in which a process that runs again has certainly read what had been waiting for it."""


class Pulse:
    """`beat` every BEAT seconds; `held_up` tells whether what arrives now may have been waiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._resumed = self._last - AFTERWARDS

    def beat(self) -> None:
        now = self._clock.now()
        if now - self._last > HELD_UP:
            self._resumed = now
        self._last = now

    def held_up(self) -> bool:
        now = self._clock.now()
        return now - self._last > HELD_UP or now - self._resumed < AFTERWARDS
