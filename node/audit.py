"""The audit log: one JSON line an event, of one shape for every door.

Why it exists: "who did this, and when" must be answerable from the log alone (G10), by machines too.
What it refuses to do: hold a value or a token, let strangers fill the disk (events about peers that have not shown who
they are get a bounded number of lines, and the next line says how many were left out), or let a reader of the log that
has stopped reading stop the store (node.sink). node.chain makes a line that was taken away show.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.chain import Chain
from node.clock import Clock
from node.sink import AppendFile, Sink, Stream

log = logging.getLogger("audit")

STRANGERS: Final = 200
"""Lines a second about those whose token was not accepted."""


_sinks: tuple[Sink, ...] = ()
_refused: Counter[tuple[str, str]] = Counter()


def install(node: str, key: bytes, streams: Mapping[str, Stream], clock: Clock) -> None:
    """Send the lines to each of `streams` (by name: standard output in a pod, a file) and to nothing else. Without any
    they are records of the logger "audit" at INFO. Each has a chain of its own, since each may have lost other lines;
    its first line says which node, which start of the machine and which key it is, and in a file which line was the
    last before it (`after`; null in a new one). `key`: 32 bytes, of the chain."""
    global _sinks
    begin = {"event": "audit.begin", "at_ms": clock.wall_ms(), "node": node, "boot": _boot(), "pid": os.getpid()}
    made = []
    for name, stream in streams.items():
        made.append(Sink(stream, Chain(f"{node}.{clock.token(8).hex()}", key), name))
        first = {**begin, "key": key_id(key), "to": name}
        if isinstance(stream, AppendFile):
            first["after"] = None if stream.last is None else dataclasses.asdict(stream.last)
        made[-1].put(json.dumps(first))
    _sinks = tuple(made)


def key_id(key: bytes) -> str:
    """Tells keys apart and reveals nothing of them."""
    return hashlib.sha256(b"raftsafe audit key id\0" + key).hexdigest()[:8]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def uninstall(timeout: float) -> bool:
    """Write what is queued, and go back to the logger. False if a stream did not take all of it in time (seconds)."""
    global _sinks
    sinks, _sinks = _sinks, ()
    taken = [sink.close(timeout) for sink in sinks]  # each, also after one that did not
    return all(taken)


def trouble() -> str:
    """Why audit lines are not written now, in one line; empty when all is well."""
    return "; ".join(filter(None, (sink.trouble() for sink in _sinks)))


def refusals() -> Mapping[tuple[str, str], int]:
    """(event, code) -> how often in this process, at all doors, whether or not it got a line."""
    return _refused


def figures() -> dict[str, dict[str, int]]:
    """By the name of the stream; see Sink.figures."""
    return {sink.name: sink.figures() for sink in _sinks}


class AuditLog:
    """The lines of one door, which derives from this and names its events."""

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._second = 0
        self._written = 0
        self._left_out = 0
        self.refusals: Counter[str] = Counter()
        """Refusals by event and code, "delivery.refused token_expired", whether or not they got a line."""

    def emit(self, event: str, peer: str, fields: Mapping[str, Any], *, known: bool) -> None:
        """One line. `known`: the peer has shown who it is. `code` or `result` of the fields is the stable code."""
        code = fields.get("code") or fields.get("result")
        if code and code != "ok":
            self.refusals[f"{event} {code}"] += 1
            _refused[event, str(code)] += 1
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
        text = json.dumps(line)
        for sink in _sinks:
            sink.put(text)
        if not _sinks:
            log.info("%s", text)

    def _room(self) -> bool:
        second = int(self._clock.now())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        if self._written <= STRANGERS:
            return True
        self._left_out += 1
        return False
