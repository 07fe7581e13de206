"""The audit lines of the delivery door: who was refused what, and why.

Why it exists: every refusal is accountable (G10), and the lines have one shape for the machines that read them.
What it refuses to do: write a token or a value, or let strangers fill the disk: what is not authenticated gets a
bounded number of lines, and the next line says how many were left out.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from node.clock import Clock

audit = logging.getLogger("audit")

STRANGERS: Final = 200
"""Lines a second about peers that have not shown who they are."""


class Audit:
    """Lines go to the logger "audit" at INFO, each one JSON object."""

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0

    def refused(self, peer: str, namespace: str, serviceaccount: str, pod: str, code: str, reason: str) -> None:
        """A stream that was not begun or was ended. The identity is "" until a token has been verified."""
        if namespace or self._room():
            self._write("delivery.refused", peer, namespace, serviceaccount, pod, {"code": code, "reason": reason})

    def withheld(self, peer: str, namespace: str, serviceaccount: str, pod: str, code: str, name: str) -> None:
        """A secret that a sidecar asked for, or had, and may not have."""
        self._write("delivery.withheld", peer, namespace, serviceaccount, pod, {"code": code, "secret": name})

    def _room(self) -> bool:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        if self._written <= STRANGERS:
            return True
        self._left_out += 1
        return False

    def _write(
        self, event: str, peer: str, namespace: str, serviceaccount: str, pod: str, more: dict[str, str]
    ) -> None:
        line: dict[str, Any] = {
            "event": event,
            "at_ms": self._clock.wall_ms(),
            "node": self._node,
            "peer": peer,
            "namespace": namespace,
            "serviceaccount": serviceaccount,
            "pod": pod,
            **more,
        }
        if self._left_out:
            line["lines_left_out"], self._left_out = self._left_out, 0
        audit.info("%s", json.dumps(line))
