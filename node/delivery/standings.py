"""Where each pod of this node stands with one secret, read in slices.

Why it exists: `safe rollout status` asks about thousands of streams while they are being served, and pods come and go
between two slices. What it refuses to do: hold the loop for all of them at once, leave out one that moved meanwhile, or
name one twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from node.clock import Clock
from node.delivery.hub import Hub
from node.delivery.ports import Record
from node.delivery.receipts import Receipt
from node.delivery.rollout import Standing, concerns, stand

SLICE: Final = 512
"""Receipts looked at in one turn of the loop."""


async def standings(hub: Hub, record: Record, clock: Clock, stale: Callable[[], bool]) -> AsyncIterator[Standing]:
    """Each pod once. `stale`: whether this node has lost touch with the majority."""
    seen: set[tuple[str, str, str]] = set()

    def look(receipts: Iterable[Receipt]) -> list[Standing]:
        wall_ms, lost = clock.wall_ms(), stale()
        found = []
        for receipt in receipts:
            if receipt.key not in seen:
                seen.add(receipt.key)
                if concerns(record, receipt):
                    found.append(stand(record, receipt, wall_ms, lost))
        return found

    numbers, departed = hub.subscribers(), hub.departed()
    for first in range(0, len(numbers), SLICE):
        for standing in look(hub.receipts_of(numbers[first : first + SLICE])):
            yield standing
        await asyncio.sleep(0)
    # Of those that came or went meanwhile none is left out, and none is there twice.
    for standing in look([*hub.departed(), *departed]):
        yield standing
