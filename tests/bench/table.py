"""What was measured, and the table that is printed: medians and spreads, ours beside the peer's, the ratio, the target.

Why it exists: one shape for every row, so that the table, the JSON and the verdicts cannot disagree.
What it refuses to do: fail a run because a figure is bad. A target is met or missed, and that is said.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

HEAD = ("row", "what", "ours: median (min..max)", "peer: median (min..max)", "ratio", "target")


@dataclasses.dataclass(frozen=True)
class Sample:
    """Repetitions of one measurement."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Sample:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)}..{number(self.high)})"


@dataclasses.dataclass(frozen=True)
class Target:
    """`what` as it is printed, for example ">= 3 x peer"."""

    what: str
    met: bool

    def __str__(self) -> str:
        return f"{self.what}: {'meets' if self.met else 'misses'}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table. `notes` are printed below it, `extra` goes into the JSON only."""

    row: str
    what: str
    unit: str
    ours: Sample
    peer: Sample | None = None
    peer_name: str = ""
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Ours through the peer's: above 1 is more of the unit, which is better for rates and worse for times."""
        return self.ours.median / self.peer.median if self.peer is not None and self.peer.median else None

    def cells(self) -> tuple[str, ...]:
        peer = f"{self.peer_name} {self.peer}" if self.peer is not None else "-"
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else "-"
        verdicts = "; ".join(map(str, self.targets)) or "-"
        return (self.row, f"{self.what}, {self.unit}", str(self.ours), peer, ratio, verdicts)

    def packed(self) -> dict[str, Any]:
        """For the JSON file."""
        out: dict[str, Any] = {"row": self.row, "what": self.what, "unit": self.unit, "ours": _packed(self.ours)}
        if self.peer is not None:
            out |= {"peer": {"name": self.peer_name, **_packed(self.peer)}, "ratio": self.ratio}
        out["targets"] = [dataclasses.asdict(target) for target in self.targets]
        return {**out, "notes": list(self.notes), **self.extra}


def _packed(sample: Sample) -> dict[str, Any]:
    return {"median": sample.median, "min": sample.low, "max": sample.high, "values": list(sample.values)}


def number(value: float) -> str:
    """Three digits or so, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def render(lines: Sequence[Line], notes: Iterable[str]) -> str:
    """The table, and the notes below it."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    out.insert(1, "  ".join("-" * width for width in widths))
    out += [f"{line.row}: {note}" for line in lines for note in line.notes]
    return "\n".join([*out, *notes])
