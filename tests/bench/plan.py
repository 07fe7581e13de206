"""How much of everything: the full run, and `--quick`, which shows that it works and little more."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """Counts, and times in seconds. `singles`: PUTs of one client in one repetition."""

    repetitions: int = 5
    seconds: float = 3.0
    warm_up: float = 1.0
    singles: int = 300
    kills: int = 30
    freezes: int = 10
    cuts: int = 10
    terms: int = 10
    secrets: int = 100_000


FULL = Plan()
QUICK = Plan(repetitions=2, seconds=1.0, warm_up=0.5, singles=50, kills=3, freezes=2, cuts=2, terms=2, secrets=5_000)

SIZES = (64, 1024)
"""Bytes of a value."""
CALLERS = 64


@dataclasses.dataclass(frozen=True)
class DeliveryPlan:
    """Counts, and times in seconds. `sidecars`: real processes of row swap; `thousand` and `streams`: sidecars of those
    rows; `updates`: of one sidecar before its memory is looked at; `polled`: how long the poller is watched."""

    repetitions: int = 3
    rotations: int = 30
    warm_up: int = 5
    sidecars: int = 100
    thousand: int = 1000
    turns: int = 5
    streams: int = 5000
    polled: float = 45.0
    updates: int = 3600
    idle: float = 20.0


DELIVERY: DeliveryPlan = DeliveryPlan()
DELIVERY_QUICK = DeliveryPlan(
    repetitions=2,
    rotations=8,
    warm_up=2,
    sidecars=10,
    thousand=60,
    turns=2,
    streams=200,
    polled=22.0,
    updates=200,
    idle=5.0,
)
