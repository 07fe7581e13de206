"""How long after an acknowledgement each of many files was in place."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from children import BenchError
from load.api import OK, Api
from load.renames import Renames
from load.wire import Wire

PATIENCE: Final = 60.0
LOOK: Final = 0.02
NUMBERED: Final = 64
"""Bytes of a value that begins with its number."""


def value(number: int) -> bytes:
    return b"%012d" % number + os.urandom(NUMBERED - 12).hex().encode()[: NUMBERED - 12]


class Place:
    """A file, and what is renamed to put it in place: `..data` for a sidecar, the file itself for others."""

    def __init__(self, file: str, renamed: str = "") -> None:
        self.file, self.renamed = file, renamed or file

    def number(self) -> int:
        """Of the write in it; 0 if there is none."""
        try:
            with open(self.file, "rb") as file:
                return int(file.read(12) or 0)
        except FileNotFoundError:
            return 0

    def at(self) -> float:
        """When it was put there, wall clock, up to 10 ms early: a rename sets the change time of what is renamed."""
        return os.lstat(self.renamed).st_ctime_ns / 1e9


@dataclasses.dataclass(frozen=True)
class Rotation:
    """One write: when it was sent and acknowledged, and when each place had it; wall clock in seconds."""

    sent: float
    acknowledged: float
    placed: list[float]

    @property
    def lags(self) -> list[float]:
        """Seconds from the acknowledgement; 0 for a file that was there before it."""
        return [max(0.0, at - self.acknowledged) for at in self.placed]

    @property
    def whole(self) -> list[float]:
        """Seconds from the sending of the request."""
        return [max(0.0, at - self.sent) for at in self.placed]


async def put(wire: Wire, api: Api, key: str, number: int) -> float:
    """Put write `number`; the wall time of its acknowledgement."""
    status, body = await wire.ask(api.put_value(key, value(number)))
    if status != OK:
        raise BenchError(f"a PUT to {api.kind} was answered with {status} {body[:200]!r}")
    return time.time()


async def rotate(
    api: Api, port: int, key: str, places: Sequence[Place], numbers: range, pause: float
) -> list[Rotation]:
    """One write after the other, each when the one before is everywhere. Raises BenchError."""
    wire = await Wire.dial(port, api.context)
    out = []
    with Renames(place.renamed for place in places) as renames:
        for number in numbers:
            sent = time.time()
            acknowledged = await put(wire, api, key, number)
            await _everywhere(places, number)
            await asyncio.sleep(pause)
            out.append(Rotation(sent, acknowledged, [renames.at[place.renamed] for place in places]))
    wire.close()
    return out


async def _everywhere(places: Sequence[Place], number: int) -> None:
    deadline, left = time.monotonic() + PATIENCE, list(places)
    while left:
        await asyncio.sleep(LOOK)
        left = [place for place in left if place.number() < number]
        if time.monotonic() > deadline:
            raise BenchError(f"{len(left)} files did not get write {number} within {PATIENCE:g} s")


async def steadily(
    api: Api, port: int, key: str, places: Sequence[Place], seconds: float, rest: float, pause: Callable[[], float]
) -> list[float]:
    """Writes at their own pace for so long, whoever has which: for each write and place the seconds until the file had
    it or a newer one. `rest`: for how long at the end nothing is written, so that the last ones arrive too."""
    wire = await Wire.dial(port, api.context)
    acknowledged: dict[int, float] = {}
    seen: list[dict[int, float]] = [{} for _ in places]
    deadline, next_put, number = time.monotonic() + seconds, 0.0, 0
    while time.monotonic() < deadline:
        if next_put <= time.monotonic() < deadline - rest:
            number += 1
            acknowledged[number] = await put(wire, api, key, number)
            next_put = time.monotonic() + pause()
        for place, found in zip(places, seen, strict=True):
            if (now := place.number()) and now not in found:
                found[now] = place.at()
        await asyncio.sleep(LOOK)
    wire.close()
    return [lag for found in seen for lag in _lags(acknowledged, found)]


def _lags(acknowledged: dict[int, float], found: dict[int, float]) -> list[float]:
    out = []
    for number, at in acknowledged.items():
        later = [placed for seen, placed in found.items() if seen >= number]
        if later:
            out.append(max(0.0, min(later) - at))
    return out


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
