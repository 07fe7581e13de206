"""Puts together what readers and writers told line by line: as a process writes it to a file, as a pod to its log.

Why it exists: a run is followed while it goes on, and a log is read again and again from its beginning.
What it refuses to do: fail over a line that is cut off or not the reader's. A last line may be half written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from statefulset.chaos.history import Ack


@dataclasses.dataclass
class Tally:
    """One pod. `seen`: secret -> [(write, when in place)], growing. `violations`: the first ones; `violated`: how many
    there were. `told`: wall clock of the last line, by the reader's machine."""

    seen: dict[str, list[tuple[int, float]]] = dataclasses.field(default_factory=dict)
    violations: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    violated: int = 0
    reads: int = 0
    sweeps: int = 0
    discarded: int = 0
    told: float = 0.0

    def add(self, line: Mapping[str, Any]) -> None:
        for secret, fresh in line["seen"].items():
            self.seen.setdefault(secret, []).extend((int(number), float(at)) for number, at in fresh)
        self.violations += line["violations"]
        self.violated, self.discarded = line["violated"], line["discarded"]
        self.reads, self.sweeps, self.told = line["reads"], line["sweeps"], line["at"]

    def has(self, newest: Mapping[str, int]) -> bool:
        """Does it show these writes, or newer ones, of the secrets it has?"""
        return all(each[-1][0] >= newest.get(secret, 0) for secret, each in self.seen.items() if each)


@dataclasses.dataclass
class Written:
    """What a writing process told. `ready`: each secret was put once; `ended`: that was its last line. The others as in
    writer.py; `told`: wall clock of the last line."""

    acks: list[Ack] = dataclasses.field(default_factory=list)
    failed: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    tried: dict[str, int] = dataclasses.field(default_factory=dict)
    problem: str = ""
    ready: bool = False
    ended: bool = False
    told: float = 0.0


def written(lines: Iterable[Mapping[str, Any]]) -> Written:
    out = Written()
    for line in lines:
        if "acks" not in line or "tried" not in line:
            continue
        out.acks += [Ack(*each) for each in line["acks"]]
        out.failed += [(float(at), str(what)) for at, what in line["failed"]]
        out.tried, out.problem, out.told = line["tried"], line["problem"], line["at"]
        out.ready, out.ended = line["ready"], line["ended"]
    return out


def lacking(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Is one of the lines before the last gone? They are numbered from 1."""
    return [line["n"] for line in lines if "n" in line] != list(range(1, len(lines) + 1))


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a log, one a line; other lines are not ours."""
    out = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            out.append(found)
    return out


def tallies(lines: Iterable[Mapping[str, Any]]) -> dict[str, Tally]:
    """Pod -> what was told of it."""
    out: dict[str, Tally] = {}
    for line in lines:
        if "pod" in line and "seen" in line:
            out.setdefault(line["pod"], Tally()).add(line)
    return out
