"""Row `cost`: what one real sidecar with 50 secrets takes, before and after as many updates as an hour at one a second.

Resident memory by /proc; a second and more after the last swap, when a sidecar has given back what it only needed for
it. Idle time of processor over some twenty seconds, heartbeats included, all else quiet.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Iterable

import uvloop
from children import BenchError
from load import pods
from load.api import OK, Safe
from load.wire import Wire
from plan import DeliveryPlan
from rows import cluster
from table import Line, Sample, Target

SECRETS = 50
SIDECARS = 3
CLIENTS = 4
SIZE = 200
SETTLE = 4.0
RESIDENT = 24 * 1024
IDLE = 0.1


def run(plan: DeliveryPlan, said: Callable[[str], None]) -> list[Line]:
    with cluster.three() as made:
        api = dataclasses.replace(cluster.api(made), grant=pods.GRANT)
        uvloop.run(_put(api, range(SECRETS)))
        started = pods.start(made, [f"web-{number}" for number in range(SIDECARS)])
        pids = [made.supervisor[each.process].pid for each in started]
        time.sleep(SETTLE)
        before = list(map(pods.resident_kib, pids))
        said(f"cost: {plan.updates} updates of {SECRETS} secrets")
        uvloop.run(_put(api, range(plan.updates)))
        time.sleep(SETTLE)
        after = list(map(pods.resident_kib, pids))
        swaps = [int(os.readlink(each.mount / "..data").removeprefix("..g")) for each in started]
        said(f"cost: idle for {plan.idle:g} s")
        cpu = list(map(pods.cpu_seconds, pids))
        time.sleep(plan.idle)
        idle = [(pods.cpu_seconds(pid) - was) / plan.idle * 100 for pid, was in zip(pids, cpu, strict=True)]
    end = Sample.of(after)
    growth = Sample.of(late - early for early, late in zip(before, after, strict=True))
    rest = Sample.of(idle)
    note = f"{plan.updates} updates in {min(swaps)} to {max(swaps)} swaps; {SIDECARS} sidecars"
    return [
        Line("cost", f"sidecar, {SECRETS} secrets, resident", "KiB", end, targets=(Target(f"<= {RESIDENT}", end.high <= RESIDENT),), notes=(note,)),
        Line("cost", "the same: growth by the updates", "KiB", growth),
        Line("cost", "sidecar, idle processor", "%", rest, targets=(Target(f"<= {IDLE:g}", rest.median <= IDLE),)),
    ]  # fmt: skip


async def _put(api: Safe, numbers: Iterable[int]) -> None:
    todo = iter(numbers)
    port = next(iter(api.ports.values()))

    async def client() -> None:
        wire = await Wire.dial(port, api.context)
        for number in todo:
            status, _ = await wire.ask(api.put(f"cost-{number % SECRETS}", SIZE))
            if status != OK:
                raise BenchError(f"a PUT was answered with {status}")
        wire.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
