"""Many seeds on all cores: each seed is a run of its own, so they are simply shared out."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Iterator

from campaign import Campaign


@dataclasses.dataclass
class Outcome:
    """One seed: an error in words, or what the run did."""

    seed: int
    error: str = ""
    puts: int = 0
    reads: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)


def run_one(seed: int) -> Outcome:
    try:
        report = Campaign(seed).run()
    except Exception as error:
        return Outcome(seed, f"{type(error).__name__}: {error}")
    return Outcome(seed, "", report.acknowledged, report.reads, report.counts)


def run_many(first: int, count: int) -> Iterator[Outcome]:
    """Outcomes in order of seeds."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(run_one, range(first, first + count))
