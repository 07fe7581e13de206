"""Which server to ask next, how long to wait for it, and when to stop: the pure half of the client.

Why it exists: a command must survive a dying leader and still end early when waiting is pointless.
What it refuses to do: any I/O, or to read a clock; `now` is passed in, in seconds on any monotonic clock.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

CONNECT: Final = 1.0
"""Seconds for TCP and TLS: a node within reach needs milliseconds, and a cut-off one must not eat the deadline."""
READ: Final = 6.0
"""Seconds for an answer: a node ends every request itself after 5."""
BACKOFF: Final = (0.1, 1.0)
"""First and longest pause between two rounds; an election takes about half a second."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why one attempt did not bring an answer that counts. `kind`: unreachable (no connection), lost (the connection
    broke or stayed silent: the outcome is unknown), untrusted (certificate), answered (503, 429, 500 ...)."""

    kind: Literal["unreachable", "lost", "untrusted", "answered"]
    server: str
    message: str
    code: str = "unavailable"
    hint: str = ""
    request_id: str = ""
    after: float = 0.0


@dataclasses.dataclass(frozen=True)
class Try:
    server: str
    connect: float
    read: float


@dataclasses.dataclass(frozen=True)
class Wait:
    seconds: float


@dataclasses.dataclass(frozen=True)
class Stop:
    """Nothing more to try; `failures` is the last one of each server."""

    failures: tuple[Failure, ...]

    def best(self) -> Failure:
        """The one that tells most: an answer before a lost connection before a refused one."""
        order = ("answered", "lost", "untrusted", "unreachable")
        return min(self.failures, key=lambda failure: order.index(failure.kind))


class Rounds:
    """Servers in turn, beginning at the last good one, round after round until the deadline.

    Ends earlier when every server that could be reached says no_quorum, or none is trusted; and, unless `patient`
    (changes are, reads are not), when no server can be reached at all.
    """

    def __init__(self, servers: tuple[str, ...], first: int, now: float, timeout: float, *, patient: bool) -> None:
        self._servers = servers[first:] + servers[:first]
        self._deadline = now + timeout
        self._patient = patient
        self._next = 0
        self._round: list[Failure] = []
        self._last: dict[str, Failure] = {}
        self._pause = BACKOFF[0]

    def failed(self, failure: Failure) -> None:
        self._round.append(failure)
        self._last[failure.server] = failure

    def next(self, now: float) -> Try | Wait | Stop:
        left = self._deadline - now
        if self._next == len(self._servers):
            if self._pointless() or left <= 0:
                return Stop(tuple(self._last.values()))
            asked = max((failure.after for failure in self._round), default=0.0)
            pause = min(max(self._pause, asked), BACKOFF[1], left)
            self._pause = min(self._pause * 2, BACKOFF[1])
            self._next, self._round = 0, []
            return Wait(pause)
        if left <= 0 and self._last:
            return Stop(tuple(self._last.values()))
        server = self._servers[self._next]
        self._next += 1
        # Half of what is left, so that a server which accepts and then hangs leaves time for the others.
        share = left / 2 if len(self._servers) > 1 else left
        return Try(server, min(CONNECT, max(left, 0.05)), max(0.05, min(READ, share)))

    def _pointless(self) -> bool:
        kinds = {failure.kind for failure in self._round}
        answered = [failure for failure in self._round if failure.kind == "answered"]
        if answered and len(answered) == len([f for f in self._round if f.kind != "unreachable"]):
            return all(failure.code == "no_quorum" for failure in answered)
        if kinds <= {"untrusted", "unreachable"}:
            return "untrusted" in kinds or not self._patient
        return False
