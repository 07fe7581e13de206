"""Where each pod of this node stands with one secret, read in slices.

Why it exists: `safe rollout status` asks about thousands of streams while they are being served, and pods come and go
between two slices. What it refuses to do: hold the loop for all of them at once, leave out one that moved meanwhile or
hides behind another sidecar of its pod, or name one twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final

from node.clock import Clock
from node.delivery.hub import Hub
from node.delivery.ports import Record
from node.delivery.receipts import Receipt
from node.delivery.rollout import Standing, concerns, stand, worse

SLICE: Final = 512
"""Receipts looked at in one turn of the loop."""


async def standings(hub: Hub, record: Record, clock: Clock, stale: Callable[[], bool]) -> AsyncIterator[Standing]:
    """Each pod once. `stale`: whether this node has lost touch with the majority."""
    found: dict[tuple[str, str, str], Standing] = {}

    def look(receipts: Iterable[Receipt]) -> Iterator[tuple[tuple[str, str, str], Standing]]:
        wall_ms, lost = clock.wall_ms(), stale()
        for receipt in receipts:
            if concerns(record, receipt):
                yield receipt.key, stand(record, receipt, wall_ms, lost, applied)

    numbers, departed, applied = hub.subscribers(), hub.departed(), hub.index
    for first in range(0, len(numbers), SLICE):
        for key, standing in look(hub.receipts_of(numbers[first : first + SLICE])):
            # A pod may have several sidecars here, each with secrets of its own.
            found[key] = worse(found[key], standing) if key in found else standing
        await asyncio.sleep(0)
    # Of those that came or went meanwhile none is left out, and none is there twice.
    for key, standing in look([*hub.departed(), *departed]):
        found.setdefault(key, standing)
    for standing in found.values():
        yield standing
