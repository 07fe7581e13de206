"""From acknowledgements and what the pods showed: how late each file was, phase by phase, and what that breaks.

Why it exists: the figures and the verdict come from the same numbers, and made-up ones can be put in.
What it refuses to do: call a write delivered that a pod never showed.

An older write is in place when it or a newer one of the same secret is: nobody needs a password that was replaced.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

from statefulset.chaos.history import Ack

Seen = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]
"""Pod -> secret -> [(write, when)], both growing."""


@dataclasses.dataclass
class Phase:
    """From `begin` to the next one, wall clock in seconds. `promise`: what G3 grants this kind of event, None when
    nothing is asserted. `attached`: seconds until each sidecar of a lost node had a stream to another. `stall`: the
    longest that a process which only sleeps was kept waiting. `least`: acknowledged writes that must be in it.
    `refuses`: there is no quorum for some of it, so writes may fail."""

    name: str
    begin: float
    promise: float | None = None
    least: int = 0
    refuses: bool = False
    attached: list[float] = dataclasses.field(default_factory=list)
    stall: float = 0.0
    end: float = float("inf")
    lags: list[float] = dataclasses.field(default_factory=list)
    writes: int = 0
    slowest: float = 0.0


def close(phases: Sequence[Phase], end: float) -> None:
    """Each phase ends where the next begins."""
    for phase, following in itertools.pairwise(phases):
        phase.end = following.begin
    phases[-1].end = end


def lag(ack: Ack, seen: Sequence[tuple[int, float]]) -> float | None:
    """Seconds from the acknowledgement until it was in place in one pod; None if it never was."""
    at = bisect.bisect_left(seen, ack.number, key=lambda each: each[0])
    return max(0.0, seen[at][1] - ack.at) if at < len(seen) else None


def sort_in(phases: Sequence[Phase], acks: Iterable[Ack], seen: Seen) -> list[str]:
    """Fill the phases. Returns a line for each acknowledged write that a pod which is granted it never showed."""
    lost = []
    holders: dict[str, list[str]] = {}
    for pod, secrets in seen.items():
        for secret in secrets:
            holders.setdefault(secret, []).append(pod)
    for ack in acks:
        phase = next((each for each in phases if each.begin <= ack.at < each.end), phases[-1])
        phase.writes += 1
        phase.slowest = max(phase.slowest, ack.at - ack.begin)
        for pod in holders.get(ack.secret, []):
            late = lag(ack, seen[pod][ack.secret])
            if late is None:
                lost.append(f"{pod} never showed write {ack.number} of {ack.secret}, version {ack.version}")
            else:
                phase.lags.append(late)
    for phase in phases:
        phase.lags.sort()
        phase.attached.sort()
    return lost


def p99(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0


def worst(ordered: Sequence[float]) -> float:
    return ordered[-1] if ordered else 0.0


def allowance(steady: Phase, phase: Phase) -> float:
    """Seconds on top of a promise for a machine that is busy: twice the worst of a time in which nothing happened (all
    of its pods rotate and dial on the same two processors), and as long as an idle process was kept waiting."""
    return 2 * worst(steady.lags) + phase.stall


def verdicts(phases: Sequence[Phase], steady: Phase) -> list[str]:
    """A line for each promise that was not kept, and for each phase in which too little happened to tell."""
    out = []
    for phase in phases:
        if phase.writes < phase.least:
            out.append(f"{phase.name}: {phase.writes} acknowledged writes are too few to tell ({phase.least})")
        if phase.promise is None:
            continue
        limit = phase.promise + allowance(steady, phase)
        for what, found in (("lag", phase.lags), ("re-attached", phase.attached)):
            if worst(found) > limit:
                over = sum(each > limit for each in found)
                out.append(
                    f"{phase.name}: worst {what} {worst(found):.2f} s is over {limit:.2f} s ({over} of {len(found)})"
                )
    return out
