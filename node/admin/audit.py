"""One JSON line per request to the admin API: who did what to which name, and what came of it (G10).

Why it exists: "who granted this, and when" must be answerable from the log alone.
What it refuses to do: hold a value, a token, a query or a body; or a name as the caller spelled it, unless it is a
well-formed name (anything else may be a value pasted into the wrong place); or let strangers fill the disk.
"""

from __future__ import annotations

import json
import logging
from typing import IO, Any, Final

from node.admin.context import Context
from node.clock import Clock

log = logging.getLogger("audit")

STRANGERS: Final = 200
"""Lines a second about requests whose token was not accepted; the next line says how many were left out."""


def install(stream: IO[str]) -> None:
    """Send the lines of the logger "audit", bare, to `stream` (standard output in a pod) and to nothing else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class Audit:
    """Lines go to the logger "audit" at INFO, each one JSON object, of the shape that delivery's lines have."""

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0

    def write(self, context: Context, took_ms: int, status: int, result: str) -> None:
        """`result` is "ok" or the stable code. `secret`, `version` and `index` are null unless the request had them."""
        if context.subject is None and not self._room():
            return
        line: dict[str, Any] = {
            "event": f"admin.{context.action}",
            "at_ms": self._clock.wall_ms(),
            "node": self._node,
            "peer": context.remote,
            "subject": context.subject,
            "secret": context.name,
            "version": context.version,
            "index": context.index,
            "status": status,
            "result": result,
            "took_ms": took_ms,
            "request_id": context.request_id,
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
