"""Hands out the rounds of a plan, each when its time has come.

Why it exists: processes of this machine and pods of a cluster are struck by the same clock.
What it refuses to do: strike, or catch up. What comes too late, since those before were slow to come back, is left out,
and the verdict counts it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from statefulset.chaos.plan import Kill


def paced(kills: Sequence[Kill], duration: float) -> Iterator[Kill]:
    """Sleeps up to each one, and after the last to the end of the run, `duration` seconds from the first step. Whoever
    has reason to stop does not go on to the next."""
    began = time.monotonic()
    end = began + duration
    for kill in kills:
        time.sleep(max(0.0, began + kill.at - time.monotonic()))
        if time.monotonic() >= end:
            break
        yield kill
    time.sleep(max(0.0, end - time.monotonic()))
