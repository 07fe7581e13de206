"""Rows `kill` and `freeze`: from what happens to the leader to the next acknowledged PUT at another node.

`kill`: SIGKILL, so the kernel closes its connections. `freeze`: SIGSTOP, so nothing tells the others but silence.
The cluster is healed before every repetition. rows/cut.py has the third of the kind.
"""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Sequence

import uvloop
from load import outage
from load.outage import Outage
from plan import Plan
from rows import cluster
from table import Line, Sample, Target

from statefulset.cli.dev.harness import DevCluster

KILL_PERIOD = 0.005
FREEZE_PERIOD = 0.01
"""Seconds between two PUTs: the connections must last for the whole outage."""
Event = Callable[[DevCluster, str], float]


def kill(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    with cluster.three() as made:

        def reap(name: str) -> None:
            made.node(name).wait(10)

        found = repeat(made, plan.kills, KILL_PERIOD, _signal(signal.SIGKILL), reap, said, "kill")
    return lines("kill", "kill -9 of the leader to the next PUT", found, 250, 800)


def freeze(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    with cluster.three() as made:

        def thaw(name: str) -> None:
            made.node(name).signal(signal.SIGCONT)

        found = repeat(made, plan.freezes, FREEZE_PERIOD, _signal(signal.SIGSTOP), thaw, said, "freeze")
    return lines("freeze", "SIGSTOP of the leader to the next PUT", found, 900, 1600)


def _signal(number: int) -> Event:
    def event(made: DevCluster, leader: str) -> float:
        at = time.monotonic()
        made.node(leader).signal(number)
        return at

    return event


def repeat(
    made: DevCluster,
    count: int,
    period: float,
    event: Event,
    undo: Callable[[str], None],
    said: Callable[[str], None],
    row: str,
) -> list[Outage]:
    """`event` to whoever leads, `count` times; `undo` and healing after each."""
    out = []
    for number in range(count):
        said(f"{row}: {number + 1} of {count}")
        leader = made.leader()
        others = [name for name in made.names if name != leader]
        try:
            found = uvloop.run(
                outage.measure(cluster.api(made), others, period, functools.partial(event, made, leader))
            )
        finally:
            undo(leader)
        out.append(found)
        cluster.heal(made)
    return out


def lines(row: str, what: str, found: Sequence[Outage], median_ms: float, worst_ms: float) -> list[Line]:
    """`first` against the targets, and what the unluckiest PUT of each outage had to wait."""
    first = Sample.of(each.first * 1000 for each in found)
    slowest = Sample.of(each.slowest * 1000 for each in found)
    targets = (
        Target(f"median <= {median_ms:g}", first.median <= median_ms),
        Target(f"worst <= {worst_ms:g}", first.high <= worst_ms),
    )
    refused, broken = sum(each.refused for each in found), sum(each.broken for each in found)
    note = f"of the PUTs sent during the {len(found)} outages {refused} were refused and {broken} got no answer"
    return [
        Line(row, f"{what}, n={len(found)}", "ms", first, targets=targets, notes=(note,)),
        Line(row, "the slowest PUT sent in an outage", "ms", slowest),
    ]
