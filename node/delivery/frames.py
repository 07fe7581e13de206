"""The SECRET frame of each version: opened and encoded once, however many sidecars it goes to.

Why it exists: this is the only place of the node where a sealed value becomes plaintext. One value that cannot be
opened (a key that has not arrived, a damaged blob) concerns that secret alone: it is remembered by name, and tried
again now and then, never once for every subscriber.
What it refuses to do: raise for such a value, show the text of the error (it may quote what it worked on), or decide
who may have the frame.
"""

from __future__ import annotations

from typing import Final

from node.delivery.cache import FrameCache
from node.delivery.ports import Opener, Record
from sidecar.wire import messages as m

RETRY_MS: Final = 5_000
RETRY_NAMES: Final = 64
"""Every 5 s up to 64 of the values that could not be opened are tried again: a key may have arrived since."""


class SecretFrames:
    """`limit`: bytes of frames kept for sharing."""

    __slots__ = ("_again", "_cache", "_opener", "_retry_ms", "_sealed", "failures")

    def __init__(self, opener: Opener, limit: int) -> None:
        self._opener = opener
        self._cache = FrameCache(limit)
        self._sealed: dict[str, int] = {}  # the version that could not be opened, the one tried longest ago first
        self._again: set[str] = set()
        self._retry_ms = 0
        self.failures = 0

    @property
    def cached(self) -> int:
        """Bytes of frames, hence about of plaintext, in memory now."""
        return self._cache.size

    def sealed(self) -> tuple[str, ...]:
        """Names whose value could not be opened when last tried."""
        return tuple(sorted(self._sealed))

    def changed(self, name: str, record: Record | None) -> None:
        """The secret may be another now: no frame of it is kept, and one that failed may be tried again."""
        self._cache.drop(name)
        if record is None or record.deleted:
            self._forget(name)
        elif name in self._sealed:
            self._again.add(name)

    def tick(self, wall_ms: int) -> list[str]:
        """Lets plaintext nobody asked for go; returns the names to be tried again."""
        self._cache.expire(wall_ms)
        if not self._sealed or 0 < self._retry_ms - wall_ms <= RETRY_MS:
            return []
        self._retry_ms = wall_ms + RETRY_MS
        chosen = list(self._sealed)[:RETRY_NAMES]
        for name in chosen:
            self._sealed[name] = self._sealed.pop(name)
        return chosen

    def get(self, record: Record, wall_ms: int) -> tuple[bytes | None, str]:
        """(frame, "") or (None, the kind of error at the first failure of this version, "" after that)."""
        frame = self._cache.get(record.name, record.version, wall_ms)
        if frame is not None:
            return frame, ""
        failed = self._sealed.get(record.name) == record.version
        if failed and record.name not in self._again:
            return None, ""
        try:
            fields = self._opener.open_value(record.name, record.generation, record.write_id, record.sealed)
            frame = m.pack(m.Secret(record.name, record.version, record.index, fields))
        except Exception as error:  # whatever it is, nobody else waits for it
            self._again.discard(record.name)
            self._sealed[record.name] = record.version
            self.failures += 1
            return None, "" if failed else type(error).__name__
        self._forget(record.name)
        self._cache.put(record.name, record.version, frame, wall_ms)
        return frame, ""

    def _forget(self, name: str) -> None:
        self._sealed.pop(name, None)
        self._again.discard(name)
