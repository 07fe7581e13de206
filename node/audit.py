"""The audit log: one JSON line an event, of one shape for every door.

Why it exists: "who did this, and when" must be answerable from the log alone (G10), by machines too.
What it refuses to do: hold a value or a token, or let strangers fill the disk: events about peers that have not shown
who they are get a bounded number of lines, and the next line says how many were left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import IO, Any, Final

from node.clock import Clock

log = logging.getLogger("audit")

STRANGERS: Final = 200
"""Lines a second about those whose token was not accepted."""


def install(stream: IO[str]) -> None:
    """Send the lines of the logger "audit", bare, to `stream` (standard output in a pod) and to nothing else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class AuditLog:
    """Lines go to the logger "audit" at INFO. A door derives from this and names its events."""

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0

    def emit(self, event: str, peer: str, fields: Mapping[str, Any], *, known: bool) -> None:
        """One line. `known`: the peer has shown who it is."""
        if not known and not self._room():
            return
        line: dict[str, Any] = {
            "event": event,
            "at_ms": self._clock.wall_ms(),
            "node": self._node,
            "peer": peer,
            **fields,
        }
        if self._left_out:
            line["lines_left_out"], self._left_out = self._left_out, 0
        log.info("%s", json.dumps(line))

    def _room(self) -> bool:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        if self._written <= STRANGERS:
            return True
        self._left_out += 1
        return False
