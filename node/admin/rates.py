"""How much one identity may ask of this node in a second: a bucket of tokens for each.

Why it exists: one script in a loop must not take the node's loop from Raft, from delivery and from other admins.
What it refuses to do: queue, or make anybody wait who writes secrets one after the other: the default is more than a
node commits in a second, so that only what is dear (long lists) or senseless is ever refused.
"""

from __future__ import annotations

from typing import Final

from node.clock import Clock
from node.errors import Retry

IDENTITIES: Final = 10_000
"""Buckets kept, the one used longest ago forgotten first; it was full again long before. About 2 MB."""
BURST: Final = 2.0
"""Seconds' worth that a bucket holds."""


class Rates:
    """`rate`: tokens a second for each identity. A token stands for about 0.1 ms of the loop. Use from one loop."""

    def __init__(self, clock: Clock, rate: int) -> None:
        self._clock = clock
        self._rate = rate
        self._full = rate * BURST
        self._buckets: dict[str, tuple[float, float]] = {}

    def charge(self, identity: str, tokens: int) -> None:
        """Raises Retry too_many_requests, and takes nothing, if the bucket has less (a full one is always enough)."""
        now = self._clock.now()
        left, since = self._buckets.pop(identity, (self._full, now))
        left = min(self._full, left + (now - since) * self._rate)
        wanted = min(tokens, self._full)
        enough = left >= wanted
        self._buckets[identity] = (left - wanted if enough else left, now)
        if len(self._buckets) > IDENTITIES:
            del self._buckets[next(iter(self._buckets))]
        if not enough:
            raise Retry(
                f"this identity asks more than {self._rate} tokens a second of this node",
                code="too_many_requests",
                hint="wait, ask less often, or ask for shorter pages; SAFE_ADMIN_RATE sets the limit",
                after=(wanted - left) / self._rate,
            )
