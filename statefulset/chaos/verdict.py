"""The verdict on one run: what was seen and acknowledged goes in, what was wrong and the figures come out.

Why it exists: one piece of code judges processes on this machine and pods of a cluster, and made-up runs show that each
rule bites. What it refuses to do: pass a run in which too little happened to tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from statefulset.chaos import lags
from statefulset.chaos.history import Ack, miscounted, misplaced
from statefulset.chaos.lags import Phase
from statefulset.chaos.tally import Tally

WRITES: Final = 0.2
"""Acknowledged writes a second that are enough to tell: one in five seconds, in a run with several writers."""
SIGHTINGS: Final = 5
"""Different writes that every pod must have shown."""
SWEEPS: Final = 1.0
"""Looks at all files of a pod, a second: below that too much can happen unseen."""
KILLED: Final = 0.5
"""Part of the plan that must have been carried out; the rest may be for want of time, pods being slow to come back."""


@dataclasses.dataclass
class Run:
    """`began`, `ended`: wall clock, of the writing. `planned`: kills of the plan; `kills`: (when, pods) of those done.
    `quorum`: no kill of the plan takes the majority away, so that no write may fail. `failed`: when and what. `tried`,
    `final`: see history.misplaced. `problems`: what went wrong around it."""

    seed: int
    began: float
    ended: float = 0.0
    planned: int = 0
    quorum: bool = True
    kills: list[tuple[float, tuple[str, ...]]] = dataclasses.field(default_factory=list)
    acks: list[Ack] = dataclasses.field(default_factory=list)
    failed: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    tried: dict[str, int] = dataclasses.field(default_factory=dict)
    final: dict[str, int] = dataclasses.field(default_factory=dict)
    tallies: dict[str, Tally] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def counted(self) -> list[Ack]:
        """Without those from before it began."""
        return [ack for ack in self.acks if ack.at >= self.began]


@dataclasses.dataclass(frozen=True)
class Report:
    """`wrong`: a line for each thing; empty: passed."""

    seed: int
    wrong: tuple[str, ...]
    phases: tuple[Phase, ...]
    figures: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        phases = [
            {
                "phase": each.name,
                "seconds": round(each.end - each.begin, 3),
                "writes": each.writes,
                "slowest_write_s": round(each.slowest, 3),
                "lag_p99_s": round(lags.p99(each.lags), 3),
                "lag_worst_s": round(lags.worst(each.lags), 3),
            }
            for each in self.phases
        ]
        ok = not self.wrong
        return {"ok": ok, "seed": self.seed, "wrong": list(self.wrong), **self.figures, "phases": phases}


def judge(run: Run) -> Report:
    """The violations of a reader, writes that were lost or applied twice, writes that failed though there was a quorum,
    and whether enough happened."""
    phases = [Phase("steady", 0.0)]
    phases += [Phase(f"killed: {', '.join(pods)}", at) for at, pods in run.kills]
    phases[0].begin = min([run.began, *(at for at, _ in run.kills)])
    lags.close(phases, run.ended)
    seen = {pod: tally.seen for pod, tally in run.tallies.items()}
    # What was put before anybody looked has no lag: the files were there when the reader came.
    lost = lags.sort_in(phases, run.counted, seen)
    wrong = [f"{each['kind']}: {pod}: {each['what']}" for pod, t in run.tallies.items() for each in t.violations]
    wrong += [*lost, *_miscounted(run.acks), *misplaced(run.acks, run.tried, run.final), *run.problems]
    if run.quorum:
        wrong += [f"a write failed: {line}" for _, line in run.failed]
    return Report(run.seed, (*wrong, *_idle(run)), tuple(phases), _figures(run, phases, len(lost)))


def _miscounted(acks: Sequence[Ack]) -> list[str]:
    return miscounted(sorted(acks, key=lambda ack: ack.at))


def _idle(run: Run) -> list[str]:
    """Too little of something."""
    out, seconds, writes = [], run.ended - run.began, len(run.counted)
    if writes < WRITES * seconds:
        out.append(f"{writes} acknowledged writes in {seconds:.0f} s are too few to tell")
    if not run.kills or len(run.kills) < KILLED * run.planned:
        out.append(f"{len(run.kills)} of {run.planned} kills were carried out: too few to tell")
    if not run.tallies:
        out.append("nobody read any file")
    for pod, tally in run.tallies.items():
        shown = sum(len(each) for each in tally.seen.values())
        if shown < SIGHTINGS or tally.sweeps < SWEEPS * seconds:
            out.append(f"{pod}: {shown} writes seen in {tally.sweeps} looks are too few to tell")
    return out


def _figures(run: Run, phases: Sequence[Phase], lost: int) -> dict[str, Any]:
    late = sorted(each for phase in phases for each in phase.lags)
    return {
        "seconds": round(run.ended - run.began, 1),
        "kills": len(run.kills),
        "kills_planned": run.planned,
        "writes_acknowledged": len(run.counted),
        "writes_failed": len(run.failed),
        "writes_lost": lost,
        "pods": len(run.tallies),
        "reads": sum(tally.reads for tally in run.tallies.values()),
        "looks_discarded": sum(tally.discarded for tally in run.tallies.values()),
        "violations": sum(tally.violated for tally in run.tallies.values()),
        "deliveries": len(late),
        "lag_p50_s": round(late[len(late) // 2], 3) if late else None,
        "lag_p99_s": round(lags.p99(late), 3),
        "lag_worst_s": round(lags.worst(late), 3),
    }
