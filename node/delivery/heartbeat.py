"""The one timer of the door: time told to the hub, and every stream visited once in a heartbeat.

Why it exists: 10 000 streams with a timer each would be 10 000 timers. Here one tick visits a fraction of them: PING,
silence, a token that has expired or was revoked, strangers who say nothing.
What it refuses to do: blame a sidecar for silence while this process itself was held up, or let what it meets in one
connection stop it for the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from node.clock import Clock
from node.delivery.connection import Connection
from node.delivery.limits import Limits
from node.delivery.refusals import Refusals
from node.delivery.roster import BUCKETS, Roster
from sidecar.wire import codes
from sidecar.wire import messages as m

log = logging.getLogger(__name__)

LOOK: Final = 4
"""Every fourth tick, four times a second or so, the hub is told the time."""


class Heartbeat:
    """`now`: seconds, as of the last tick: exact enough for whatever is measured in heartbeats. `look(wall_ms)`: for
    the hub. `revoked(token, namespace, serviceaccount)`: whether the stream must end; it must not wait."""

    def __init__(
        self,
        roster: Roster,
        refusals: Refusals,
        look: Callable[[int], None],
        revoked: Callable[[str, str, str], bool],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._roster = roster
        self._refusals = refusals
        self._look = look
        self._revoked = revoked
        self._clock = clock
        self._limits = limits
        self._timer: asyncio.Task[None] | None = None
        self._beats = 0
        self._patient_until = 0.0
        self.now = clock.now()
        self.silent = 0

    def start(self) -> None:
        self.now = self._clock.now()
        self._timer = asyncio.get_running_loop().create_task(self._keep_time())

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
            self._timer = None

    async def _keep_time(self) -> None:
        interval = self._limits.heartbeat / BUCKETS
        while True:
            await asyncio.sleep(interval)
            try:
                self.tick(interval)
            except Exception:
                log.exception("the delivery timer stumbled")

    def tick(self, interval: float) -> None:
        """One beat; `interval`: seconds since the last one, if all is well."""
        before, self.now = self.now, self._clock.now()
        if self.now - before > interval + self._limits.heartbeat / 2:
            # This process was held up (suspended, starved): it is not the sidecars that were silent.
            self._patient_until = self.now + self._limits.heartbeat * self._limits.silent
        self._beats += 1
        wall_ms = self._clock.wall_ms()
        if not self._beats % LOOK:
            self._look(wall_ms)
        for connection in [each for each in self._roster.greeting if self.now - each.opened > self._limits.greeting]:
            if connection.task is None and not connection.closing:
                self._refusals.refuse(connection, codes.UNAUTHENTICATED, "no HELLO within the time for it")
        ping = m.pack(m.Ping(self._beats))
        for connection in self._roster.turn(self._beats):
            self._visit(connection, wall_ms, ping)

    def _visit(self, connection: Connection, wall_ms: int, ping: bytes) -> None:
        """Once a heartbeat for every connection."""
        connection.effort = 0
        if connection.closing:
            if self.now - connection.closing > self._limits.heartbeat * 2:
                connection.abort()
        elif connection.subscriber:
            waiting = connection.waiting
            patience = self._limits.stuck if waiting else self._limits.heartbeat * self._limits.silent
            if self.now - connection.heard > patience and self.now >= self._patient_until:
                self.silent += 1
                log.info("pod %s was silent for %.1f s", connection.pod, self.now - connection.heard)
                connection.abort()
            elif not self._dismissed(connection, wall_ms) and not waiting:
                connection.send(ping)

    def _dismissed(self, connection: Connection, wall_ms: int) -> bool:
        """Whether its token is good no more; then it has been told so."""
        if wall_ms >= (connection.expires + self._limits.leeway) * 1000:
            code, message = codes.TOKEN_EXPIRED, "the token of this stream has expired"
            hint = "the sidecar reads its token file again before it dials"
        elif self._revoked(connection.token, connection.namespace, connection.serviceaccount):
            code, message = codes.TOKEN_REVOKED, "the cluster does not accept this token any more"
            hint = "its pod or service account was deleted; a new pod has a new token"
        else:
            return False
        self._refusals.refuse(connection, code, message, hint)
        return True
