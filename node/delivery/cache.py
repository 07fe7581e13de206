"""The few encoded secrets that are being handed out right now.

Why it exists: one change goes to many sidecars at once, and a cold start of many pods asks for the same few secrets;
each version is opened and encoded once for all of them. It holds plaintext, in memory only: bounded by bytes, dropped
when the secret changes, and dropped when nobody asked for it for a while.
What it refuses to do: know who may have what it holds, or show any of it in a repr.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

IDLE_MS: Final = 10_000
"""Plaintext that nobody was sent for so long is dropped. A cold start takes seconds, not minutes."""


class FrameCache:
    """Least recently used first out. `limit`: bytes of frames held, in all; a larger frame is not kept."""

    __slots__ = ("_frames", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames: OrderedDict[str, tuple[int, bytes, int]] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def get(self, name: str, version: int, wall_ms: int) -> bytes | None:
        entry = self._frames.get(name)
        if entry is None or entry[0] != version:
            return None
        self._frames[name] = (version, entry[1], wall_ms)
        self._frames.move_to_end(name)
        return entry[1]

    def put(self, name: str, version: int, frame: bytes, wall_ms: int) -> None:
        self.drop(name)
        if len(frame) > self._limit:
            return
        self._frames[name] = (version, frame, wall_ms)
        self.size += len(frame)
        while self.size > self._limit:
            self.drop(next(iter(self._frames)))

    def drop(self, name: str) -> None:
        entry = self._frames.pop(name, None)
        if entry is not None:
            self.size -= len(entry[1])

    def expire(self, wall_ms: int) -> None:
        """Drops what was last used more than IDLE_MS ago, or, the clock having been set back, in the future."""
        while self._frames:
            name, (_, _, used) = next(iter(self._frames.items()))  # the one used longest ago
            if 0 <= wall_ms - used <= IDLE_MS:
                return
            self.drop(name)
