"""Which addresses to dial next, in which order, and how soon.

Why it exists: the choice must spread a thousand sidecars over all nodes, move on at once from a node that died, and
not become a storm when all of them are down. What it refuses to do: dial. It holds numbers only, and is told the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from sidecar.settings import Node

SPREAD: Final = 0.1
"""Seconds over which the sidecars of a node that died spread their dials. A crash may cost each of them one second, and
some thousands at the same millisecond would cost the nodes that are left a pause."""
FIRST_BACK_OFF: Final = 0.05
LAST_BACK_OFF: Final = 2.0
"""Seconds. With 10 000 sidecars and every node down, that is 5000 to 10 000 refused connections a second at most."""
MAX_DOUBLINGS: Final = 6  # 0.05 * 2**6 is past LAST_BACK_OFF; no need to count on for months
MIN_ROUND: Final = 3
"""Refusals in a row before they are believed, at least: one name in SAFE_NODES may stand for several nodes."""
REFUSED_PAUSE: Final = 30.0
"""Seconds between attempts once every node has refused without naming a time: the cause is a person's to mend."""
SHUN: Final = 10.0
"""Seconds for which an address that broke, hung or refused is tried after all others."""
MAX_SHUNNED: Final = 64


class Route(NamedTuple):
    """One address of one entry of SAFE_NODES. `address` is numeric."""

    node: Node
    address: str

    def __str__(self) -> str:
        return str(self.node) if self.node.host == self.address else f"{self.node} ({self.address})"


def order(found: Iterable[Route], shunned: tuple[Route, ...], chance: float) -> list[Route]:
    """Each address once: those to be tried, begun at any of them by `chance` (0 to 1), then those that are shunned,
    the one that will be forgiven first in front. Shunning is a preference: a lone node is dialled all the same.

    A node that is reachable by two names is still one address and port."""
    known = {(route.address, route.node.port): route for route in sorted(found, key=str)}
    last = [known.pop(key) for route in shunned if (key := (route.address, route.node.port)) in known]
    first = list(known.values())
    begin = min(int(chance * len(first)), len(first) - 1) if first else 0
    return first[begin:] + first[:begin] + last


class Dialer:
    """The nodes of SAFE_NODES, which of their addresses to shun, and how long to back off."""

    __slots__ = ("_failures", "_nodes", "_shunned", "current", "refusals")

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes
        self._shunned: dict[Route, float] = {}
        self._failures = 0
        self.current: Route | None = None
        self.refusals = 0

    def shunned(self, now: float) -> tuple[Route, ...]:
        """What to try last, the one that will be forgiven first in front."""
        self._shunned = {route: until for route, until in self._shunned.items() if until > now}
        return tuple(sorted(self._shunned, key=lambda route: self._shunned[route]))

    def reached(self, route: Route) -> None:
        """The race was won by this one."""
        self.current = route

    def shun(self, now: float, seconds: float = SHUN) -> None:
        """Rather not the current address for so long."""
        if self.current is not None and (self.current in self._shunned or len(self._shunned) < MAX_SHUNNED):
            self._shunned[self.current] = max(now + seconds, self._shunned.get(self.current, 0.0))

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
