"""Peer of row `raft`: three processes of pysyncobj as released, in every way that may be its fastest."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from children import HOST, Child, free_ports, stop_all


@dataclasses.dataclass(frozen=True)
class Way:
    """Options of SyncObjConf. `period`: appendEntriesPeriod in seconds, 0.1 as released."""

    batch: bool
    journal: bool
    period: float = 0.1


WAYS: Mapping[str, Way] = {
    "batch off, memory": Way(batch=False, journal=False),
    "batch off, journal": Way(batch=False, journal=True),
    "batch on, memory": Way(batch=True, journal=False),
    "batch on, journal": Way(batch=True, journal=True),
}
TUNED: Mapping[str, Way] = {
    "batch on, 1 ms, memory": Way(batch=True, journal=False, period=0.001),
    "batch on, 1 ms, journal": Way(batch=True, journal=True, period=0.001),
}
"""With batches the library waits for its period before it sends: 64 callers get at most 64 commits in each. A period of
1 ms makes that a group commit as ours is, at the price of a thousand messages a second to each peer when idle."""


@contextlib.contextmanager
def cluster(way: Way, folder: Path) -> Iterator[dict[str, Child]]:
    """Three nodes, plain TCP."""
    addresses = [f"{HOST}:{port}" for port in free_ports(3)]
    children: dict[str, Child] = {}
    try:
        for own in addresses:
            options = {
                "own": own,
                "others": [address for address in addresses if address != own],
                "batch": way.batch,
                "period": way.period,
                "journal": str(folder / own) if way.journal else None,
            }
            children[own] = Child("workers.stock", options, folder / f"{own}.log")
        yield children
    finally:
        stop_all(children)
