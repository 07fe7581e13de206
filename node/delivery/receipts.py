"""Delivery receipts: which pod says it has which versions in place.

Why it exists: "has everyone got it?" is answered by the pods themselves, not by what was sent (G10). A pod that left
is remembered for a while, so that a rolling restart does not look like an empty cluster.
What it refuses to do: grow without bound, or believe a pod about a secret this node never gave it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.wire import messages as m

KEEP_MS: Final = 600_000
"""Ten minutes: longer than a rolling restart keeps any one pod away."""
MAX_DEPARTED: Final = 20_000
"""Twice the sidecars one node serves; past it the oldest departed are forgotten first."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one sidecar last said. `since_ms`: when its stream began (or ended, if not `connected`); `index` and
    `placed`: log index and versions in its files; `error`: a code, "" if all is well; `stale`: this may be out of
    date, because the sidecar is not connected to this node any more. `at_ms`: when it said so, by this node's clock, 0
    if only its HELLO did; `want`: the names it asks for, empty for all granted; `report`: None if it is too old to say;
    `left`: it said goodbye, so nobody waits for it.
    """

    pod: str
    namespace: str
    serviceaccount: str
    node: str
    since_ms: int
    index: int
    placed: Mapping[str, int]
    error: str
    mode: str
    agent: str
    at_ms: int = 0
    want: frozenset[str] = frozenset()
    report: m.Report | None = None
    connected: bool = True
    stale: bool = False
    left: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.namespace, self.serviceaccount, self.pod)

    def departed(self, wall_ms: int, left: bool = False) -> Receipt:
        return replace(self, since_ms=wall_ms, connected=False, stale=True, left=left)


class Departed:
    """Receipts of pods that are no longer connected here, oldest first."""

    __slots__ = ("_receipts",)

    def __init__(self) -> None:
        self._receipts: OrderedDict[tuple[str, str, str], Receipt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._receipts)

    def put(self, receipt: Receipt, wall_ms: int, left: bool = False) -> None:
        self._receipts.pop(receipt.key, None)
        self._receipts[receipt.key] = receipt.departed(wall_ms, left)
        while len(self._receipts) > MAX_DEPARTED:
            self._receipts.popitem(last=False)

    def forget(self, namespace: str, serviceaccount: str, pod: str) -> None:
        """The pod is back."""
        self._receipts.pop((namespace, serviceaccount, pod), None)

    def expire(self, wall_ms: int) -> None:
        while self._receipts:
            key, receipt = next(iter(self._receipts.items()))
            if 0 <= wall_ms - receipt.since_ms <= KEEP_MS:
                return
            del self._receipts[key]

    def all(self) -> list[Receipt]:
        return list(self._receipts.values())
