"""Exactly once: what was answered to the last requests, so that a retry gets the same answer and changes nothing.

Why it exists: a client whose connection broke cannot know whether its write was applied, and must be able to ask again.
What it refuses to do: forget by time. The log position is the only clock that every node reads alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator


class Sessions:
    """Request id -> packed result, in the order of the log."""

    __slots__ = ("_order", "_results")

    def __init__(self) -> None:
        self._results: dict[bytes, bytes] = {}
        self._order: deque[tuple[int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, rid: bytes) -> bytes | None:
        return self._results.get(rid)

    def put(self, index: int, rid: bytes, result: bytes) -> None:
        """Remembers the result of the command at log position `index`, which is above all before it.

        Raises ValueError otherwise, and for a rid that is known."""
        if rid in self._results or (self._order and self._order[-1][0] >= index):
            raise ValueError("a result out of order")
        self._results[rid] = result
        self._order.append((index, rid))

    def prune(self, index: int, window: int) -> None:
        """Forgets what stands `window` or more positions before `index`. The log has one command a position, so at
        most `window` results are ever kept."""
        while self._order and self._order[0][0] <= index - window:
            del self._results[self._order.popleft()[1]]

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """(index, rid, result) from the oldest on, as of the call; cheap then, the rows are made as they are taken."""
        results = self._results.copy()
        return ((index, rid, results[rid]) for index, rid in self._order.copy())
