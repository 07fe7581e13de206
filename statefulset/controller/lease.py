"""Who of the replicas works: a Lease (coordination.k8s.io/v1) and what was seen of it -> what to do.

Why it exists: two replicas at once do no harm, they only do everything twice; one works, the other takes over within
the lease's duration, or at once after a planned stop.
What it refuses to do: compare clocks of two machines. A lease has run out when it has not changed for its duration on
this machine's own clock, as client-go has it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

DURATION: Final = 15
"""Seconds a lease is good for: long enough for an API server that restarts, short enough to wait for."""
RENEW: Final = 5.0
"""Seconds between renewals: two may fail."""

Lease = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """Write this spec: create the Lease, or replace the one that was read (its resourceVersion decides races)."""

    spec: Mapping[str, Any]


class Election:
    """One replica's view. `leading` is true until the lease it last wrote has run out."""

    def __init__(self, me: str) -> None:
        self.me = me
        self._seen: tuple[Any, ...] | None = None
        self._changed = 0.0
        self._until = 0.0

    def leading(self, now: float) -> bool:
        """`now`: monotonic seconds."""
        return now < self._until

    def step(self, lease: Lease | None, now: float, wall: datetime.datetime) -> Write | None:
        """What to write after reading the lease; None: it is another's, look again later."""
        spec = dict((lease or {}).get("spec") or {})
        holder = spec.get("holderIdentity") or ""
        seen = (holder, spec.get("renewTime"), ((lease or {}).get("metadata") or {}).get("resourceVersion"))
        if seen != self._seen:
            self._seen, self._changed = seen, now
        mine = holder == self.me
        lasts = min(max(int(spec.get("leaseDurationSeconds") or DURATION), 1), 4 * DURATION)
        if holder and not mine and now - self._changed < lasts:
            self._until = 0.0
            return None
        moment = wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return Write(
            {
                "holderIdentity": self.me,
                "leaseDurationSeconds": DURATION,
                "acquireTime": spec.get("acquireTime") if mine else moment,
                "renewTime": moment,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (not mine and bool(lease)),
            }
        )

    def written(self, done: bool, asked: float) -> None:
        """The outcome of a Write. `asked`: the moment before the request, so that the answer's delay counts against
        us: nobody else can have taken it before `asked` + DURATION."""
        if done:
            self._until = asked + DURATION
        # Somebody was first, or nothing was heard: what we hold already runs out by itself.

    def release(self, lease: Lease | None) -> Write | None:
        """At a planned stop: give it up, so that the other need not wait."""
        spec = dict((lease or {}).get("spec") or {})
        self._until = 0.0
        return (
            Write(spec | {"holderIdentity": "", "leaseDurationSeconds": 1})
            if spec.get("holderIdentity") == self.me
            else None
        )
