"""Row `term`: SIGTERM of the leader, as in every rolling upgrade, while 16 clients put through all nodes."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import random
import signal
import time
from collections.abc import Callable

import uvloop
from load.api import Api
from load.client import Client, Put
from plan import Plan
from rows import cluster
from table import Line, Sample, Target

CLIENTS = 16
SIZE = 64
BEFORE, AFTER = (0.6, 0.8), 2.5
"""Seconds of putting before the signal, and from it to the end: a node is gone within two."""
FAILED, SLOWEST = 0, 300.0
SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Stop:
    """`slowest` in ms, of the puts that ended after the signal; `usual`: the median before it."""

    failed: tuple[str, ...]
    slowest: float
    usual: float
    puts: int


def run(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    found = []
    with cluster.three() as made:
        for number in range(plan.terms):
            said(f"term: {number + 1} of {plan.terms}")
            leader = made.leader()

            def stop(name: str = leader) -> float:
                at = time.monotonic()
                made.node(name).signal(signal.SIGTERM)
                return at

            found.append(uvloop.run(_stop(cluster.api(made), stop)))
            made.node(leader).wait(20)
            cluster.heal(made)
    return _lines(found)


async def _stop(api: Api, stop: Callable[[], float]) -> Stop:
    clients = [Client(api, number, SIZE) for number in range(CLIENTS)]
    tasks = [asyncio.ensure_future(client.run()) for client in clients]
    await asyncio.sleep(random.uniform(*BEFORE))
    at = stop()
    await asyncio.sleep(AFTER)
    for client in clients:
        client.running = False
    await asyncio.gather(*tasks)
    puts = [put for client in clients for put in client.puts]
    return Stop(
        tuple(put.wrong for put in puts if put.wrong),
        max(_took(put) for put in puts if put.end > at),
        Sample.of(_took(put) for put in puts if put.end <= at).median,
        len(puts),
    )


def _took(put: Put) -> float:
    return (put.end - put.begin) * 1000


def _lines(found: list[Stop]) -> list[Line]:
    failed = Sample.of(len(each.failed) for each in found)
    slowest = Sample.of(each.slowest for each in found)
    reasons = collections.Counter(reason for each in found for reason in each.failed)
    total = sum(each.puts for each in found)
    notes = [f"{int(sum(failed.values))} of {total} puts failed in {len(found)} stops"]
    notes += [f"{count} x {reason}" for reason, count in reasons.most_common(SHOWN)]
    what = f"SIGTERM of the leader under {CLIENTS} clients, n={len(found)}"
    usual = Sample.of(each.usual for each in found)
    return [
        Line(
            "term",
            f"{what}: failed PUTs",
            "count",
            failed,
            targets=(Target(f"= {FAILED}", failed.high <= FAILED),),
            notes=tuple(notes),
        ),
        Line(
            "term",
            "the slowest PUT",
            "ms",
            slowest,
            targets=(Target(f"worst <= {SLOWEST:g}", slowest.high <= SLOWEST),),
            notes=(f"a PUT usually took {usual.median:.1f} ms",),
        ),
    ]
