"""The audit log: one JSON line an event, of one shape for every door.

Why it exists: "who did this, and when" must be answerable from the log alone (G10), by machines too.
What it refuses to do: hold a value or a token, let strangers fill the disk (events about peers that have not shown who
they are get a bounded number of lines, and the next line says how many were left out), or let a reader of the log that
has stopped reading stop the store: lines wait for it in a bounded queue, and beyond it they are counted.
"""

from __future__ import annotations

import collections
import json
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, Final

from node.clock import Clock

log = logging.getLogger("audit")

STRANGERS: Final = 200
"""Lines a second about those whose token was not accepted."""
QUEUE: Final = 16 << 20
"""Characters that wait for the stream: some ten seconds of the fastest node, 40 000 lines."""
LINGER: Final = 0.02
"""Seconds that the first of several lines waits for the others: one write for all of them."""


class Sink:
    """Lines on their way to `stream`, written by a thread of their own: the event loop never waits for whoever reads.

    A line is in the queue before its request is answered and at the stream LINGER later; a process that is killed
    loses those of the last moment, while the change itself stands in the log of Raft with its actor and time."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: collections.deque[str] = collections.deque()
        self._size = 0
        self._left_out = 0
        self._lock = threading.Lock()
        self._there = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue one line (without its end). Never waits for the stream."""
        with self._lock:
            if self._size >= QUEUE:
                self._left_out += 1
                return
            self._lines.append(line)
            self._size += len(line)
        if not self._there.is_set():
            self._there.set()

    def close(self, timeout: float) -> bool:
        """Write what is queued; False if the stream did not take it within `timeout` seconds."""
        self._closing.set()
        self._there.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._there.wait()
            self._closing.wait(LINGER)
            # In this order: what is put, and an end that is asked for, after this sets it again.
            self._there.clear()
            ending = self._closing.is_set()
            self._write()
            if ending:
                return

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, collections.deque()
            left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(json.dumps({"event": "audit.overflow", "lines_left_out": left_out}))
        if not lines:
            return
        text = "\n".join(lines) + "\n"
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            logging.getLogger("node").error("%d audit lines could not be written: %s", len(lines), error)
        # Only now is there room again: what the stream has not taken counts as queued.
        with self._lock:
            self._size = sum(map(len, self._lines))


_sink: Sink | None = None


def install(stream: IO[str]) -> Sink:
    """Send the lines to `stream` (standard output in a pod) and to nothing else. Without it they are records of the
    logger "audit" at INFO. Returns what has to be closed at the end."""
    global _sink
    _sink = Sink(stream)
    return _sink


def uninstall(timeout: float) -> bool:
    """Write what is queued, and go back to the logger. False if the stream did not take all of it in time."""
    global _sink
    sink, _sink = _sink, None
    return sink is None or sink.close(timeout)


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
        if _sink is not None:
            _sink.put(json.dumps(line))
        else:
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
