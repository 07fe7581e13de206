"""Which pods go when: decided before anything is done, by one seed, so that a run can be run again.

Why it exists: chaos that cannot be repeated finds things nobody can look at. What it refuses to do: take more pods at a
time than was asked for; whoever carries it out waits until those before are back.

The words are those of the pod-delete experiment of LitmusChaos (duration, interval, force, percentage of pods affected,
sequence parallel or serial): https://litmuschaos.github.io/litmus/experiments/categories/pods/pod-delete/
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Final, Literal

Order = Literal["parallel", "serial"]
MAX_KILLS: Final = 2000
"""A day of one every minute is less: more is a slip of the keyboard."""


class PlanError(ValueError):
    """Nothing can be planned like this; the message says why."""


@dataclasses.dataclass(frozen=True)
class Kill:
    """`at`: seconds from the beginning. `pods` go in the same breath."""

    at: float
    pods: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What was asked for. `duration`, `interval`: seconds. `wipe`: who is killed loses its disk as well."""

    duration: float
    interval: float
    force: bool
    percentage: int
    sequence: Order
    seed: int
    nodes: int = 3
    workloads: int = 4
    wipe: bool = False

    @property
    def minority(self) -> bool:
        """Those who are left are a quorum, always."""
        at_once = size(self.nodes, self.percentage) if self.sequence == "parallel" else 1
        return 2 * at_once < self.nodes

    def kills(self) -> tuple[Kill, ...]:
        """Raises PlanError."""
        names = tuple(f"safe-{number}" for number in range(self.nodes))
        return plan(names, self.duration, self.interval, self.percentage, self.sequence, self.seed)


def size(pods: int, percentage: int) -> int:
    """Pods of one round: `percentage` of them, rounded down, and one at least."""
    return max(1, pods * percentage // 100)


def plan(
    pods: Sequence[str], duration: float, interval: float, percentage: int, sequence: Order, seed: int
) -> tuple[Kill, ...]:
    """The same arguments make the same plan. `parallel`: every `interval` seconds one round, all of its pods at once;
    `serial`: the pods of a round one after the other, `interval` seconds apart. The first and the last `interval` of
    the run are quiet, to have something to compare with and to see it heal. Raises PlanError."""
    if not pods or not 0 <= percentage <= 100 or interval <= 0:
        raise PlanError("a plan needs pods, a percentage from 0 to 100 and an interval")
    count = int(duration / interval + 1e-9) - 1
    if count < 1:
        raise PlanError(
            f"in {duration:g} s nobody can be killed every {interval:g} s: at least two intervals are needed"
        )
    if count > MAX_KILLS:
        raise PlanError(f"{count} times are more than {MAX_KILLS}: choose a longer interval")
    rng, names = Random(seed), sorted(pods)  # noqa: S311 - a run is chosen, not a key
    kills: list[Kill] = []
    while len(kills) < count:
        chosen = rng.sample(names, size(len(names), percentage))
        groups = [tuple(sorted(chosen))] if sequence == "parallel" else [(name,) for name in chosen]
        kills += [Kill((len(kills) + 1 + turn) * interval, group) for turn, group in enumerate(groups)]
    return tuple(kills[:count])
