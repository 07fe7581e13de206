"""The next moment at which time alone changes what may be delivered, for every secret with a validity window.

Why it exists: `not_before` and `expires` take effect on open streams within a second, without looking at 100 000
records every second. What it refuses to do: read a clock.
"""

from __future__ import annotations

import heapq
from typing import Final

STEP_BACK_MS: Final = 1_000
"""A wall clock that went back further than this was set, not slewed: what it undid is asked again."""


class Moments:
    """A heap of (moment, name) with at most one valid entry a name."""

    __slots__ = ("_at", "_heap", "_seen", "_windowed")

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._windowed: set[str] = set()
        self._seen: int | None = None

    def __len__(self) -> int:
        return len(self._at)

    def put(self, name: str, at_ms: int | None, windowed: bool) -> None:
        """`at_ms`: the next moment, None for no more; `windowed`: whether the secret has any window at all."""
        if windowed:
            self._windowed.add(name)
        else:
            self._windowed.discard(name)
        if self._at.get(name) == at_ms:
            return
        if at_ms is None:
            self._at.pop(name, None)
            return
        self._at[name] = at_ms
        heapq.heappush(self._heap, (at_ms, name))
        if len(self._heap) > 2 * len(self._at) + 64:  # more leftovers than entries
            self._heap = [(at, known) for known, at in self._at.items()]
            heapq.heapify(self._heap)

    def due(self, wall_ms: int) -> list[str]:
        """Names whose moment has come; each is forgotten until it is put again.

        After a wall clock that was set back: every name with a window, since any of them may be valid again.
        """
        back = self._seen is not None and wall_ms < self._seen - STEP_BACK_MS
        self._seen = wall_ms
        if back:
            self._at.clear()
            self._heap.clear()
            return sorted(self._windowed)
        names: list[str] = []
        while self._heap and self._heap[0][0] <= wall_ms:
            at, name = heapq.heappop(self._heap)
            if self._at.get(name) == at:
                del self._at[name]
                names.append(name)
        return names
