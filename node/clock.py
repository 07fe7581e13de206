"""The one door by which time and randomness enter a node.

Why it exists: everything that decides is pure, so that the simulator can replay it; the shell hands this in.
What it refuses to do: be imported by a pure module as a global. It is always passed.
"""

from __future__ import annotations

import os
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Time in seconds (monotonic) and milliseconds since the epoch (wall), and randomness of two strengths."""

    def now(self) -> float: ...
    def wall_ms(self) -> int: ...
    def uniform(self, low: float, high: float) -> float: ...
    def token(self, size: int) -> bytes: ...


class SystemClock:
    """The real one. `uniform` spreads timers and is no secret; `token` comes from the kernel's CSPRNG."""

    def now(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret

    def token(self, size: int) -> bytes:
        return os.urandom(size)
