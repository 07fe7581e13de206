"""No, said to a sidecar: the code, a reason, what to do next, when to come back; and an audit line of it.

Why it exists: every part of the door may have to refuse, and each refusal has to be bounded in size, counted, audited,
and the last thing said on its stream.
What it refuses to do: refuse twice, or speak after a goodbye.
"""

from __future__ import annotations

from collections.abc import Callable

from node.clock import Clock
from node.delivery.audit import Audit
from node.delivery.connection import Connection
from node.delivery.limits import Limits
from sidecar.wire import codes
from sidecar.wire import messages as m


class Refusals:
    """`ended(connection)`: it is nobody's any more, neither a stranger nor a subscriber. `count`: REFUSED sent."""

    def __init__(self, audit: Audit, clock: Clock, limits: Limits, ended: Callable[[Connection], None]) -> None:
        self._audit = audit
        self._clock = clock
        self._limits = limits
        self._ended = ended
        self.count = 0

    def jitter(self, base_ms: int) -> int:
        """Spread, so that those refused together do not come back together."""
        return round(self._clock.uniform(0.5 * base_ms, 1.5 * base_ms))

    def unavailable(
        self,
        connection: Connection,
        message: str,
        hint: str = "",
        after_ms: int = 0,
        code: str = codes.UNAVAILABLE,
    ) -> None:
        """Not now, or not here."""
        hint = hint or "the sidecar tries another node by itself"
        self.refuse(connection, code, message, hint, self.jitter(after_ms or self._limits.retry_ms))

    def refuse(self, connection: Connection, code: str, message: str, hint: str = "", retry_ms: int = 0) -> None:
        """`retry_ms` 0: the same call will not succeed soon."""
        if connection.lost or connection.closing or connection.protocol.closed():
            return
        self.count += 1
        self.note(connection, code, message)
        refused = m.Refused(
            code[: m.MAX_WORD], message[: m.MAX_TEXT], hint[: m.MAX_TEXT], min(retry_ms, m.MAX_DELAY_MS)
        )
        connection.say_goodbye(connection.protocol.send_refused(refused), self._clock.now())
        self._ended(connection)

    def note(self, who: Connection, code: str, reason: str) -> None:
        """The audit line, also of one who is not answered."""
        self._audit.refused(who.peer, who.namespace, who.serviceaccount, who.pod, code, reason)
