"""Which node to dial next, and how soon.

Why it exists: the choice must spread a thousand sidecars over all nodes, move on at once from a node that died, and
not become a storm when all of them are down. What it refuses to do: dial. It holds numbers only, and is told the time.
"""

from __future__ import annotations

from typing import Final

from sidecar.settings import Node

FIRST_BACK_OFF: Final = 0.05
LAST_BACK_OFF: Final = 2.0
"""Seconds. With 10 000 sidecars and every node down, that is 5000 to 10 000 refused connections a second at most."""
MAX_DOUBLINGS: Final = 6  # 0.05 * 2**6 is past LAST_BACK_OFF; no need to count on for months
MIN_ROUND: Final = 3
"""Refusals in a row before they are believed, at least: one name in SAFE_NODES may stand for several nodes."""
REFUSED_PAUSE: Final = 30.0
"""Seconds between attempts once every node has refused without naming a time: the cause is a person's to mend."""


class Dialer:
    """The nodes of SAFE_NODES in a ring, with who is to be avoided and how long to back off."""

    __slots__ = ("_at", "_avoid", "_failures", "_nodes", "_turn", "refusals")

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self._at = 0
        self._turn = 0
        self._avoid: dict[int, float] = {}
        self._failures = 0
        self.refusals = 0

    @property
    def current(self) -> Node:
        """The node dialled last."""
        return self._nodes[self._at]

    def begin(self, chance: float) -> None:
        """Start anywhere: `chance` from 0 to 1."""
        self._turn = int(chance * 1000)
        self._at = self._turn % len(self._nodes)

    def next(self, now: float) -> tuple[Node, int]:
        """The next node of the ring that is not to be avoided, or simply the next: avoiding is a preference, and one
        name may stand for several nodes. With it a number that differs from call to call, to choose among addresses."""
        self._avoid = {at: until for at, until in self._avoid.items() if until > now}
        ring = [(self._at + step) % len(self._nodes) for step in range(1, len(self._nodes) + 1)]
        self._at = next((at for at in ring if at not in self._avoid), ring[0])
        self._turn += 1
        return self._nodes[self._at], self._turn

    def avoid(self, until: float) -> None:
        """Rather not the current node until then."""
        self._avoid[self._at] = until

    def back_off(self, chance: float) -> float:
        """Seconds before the next dial: 50 ms doubling to 2 s, of which half is left to `chance`."""
        full = min(LAST_BACK_OFF, FIRST_BACK_OFF * (1 << min(self._failures, MAX_DOUBLINGS)))
        self._failures += 1
        return full * (0.5 + 0.5 * chance)

    def succeeded(self) -> None:
        """The last stream was a good one: back-off starts over."""
        self._failures = 0

    def welcomed(self) -> None:
        """A node took us in, so the refusals before were that node's own."""
        self.refusals = 0

    def refused(self, retry: float, chance: float) -> tuple[float, bool]:
        """(seconds to wait at least, whether it is final for a run that cannot wait).

        As long as another node may judge otherwise, only the back-off counts. `retry` is the node's hint in seconds,
        0 if it sees no use in trying again soon.
        """
        self.refusals += 1
        if self.refusals < max(len(self._nodes), MIN_ROUND):
            return 0.0, False
        if retry:
            return retry * (1.0 + 0.2 * chance), False
        return REFUSED_PAUSE * (0.5 + 0.5 * chance), True
