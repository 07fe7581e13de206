"""Row `thousand`: one rotation of a secret that 1000 sidecars have, until the last of them has it in place.

100 are real processes; 900 are the sidecar's own client in three processes (workers/clients.py), which write real
files: a thousand processes would be 22 GiB, and what they cost besides is memory and not time.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable

import uvloop
from load import files, pods
from plan import DeliveryPlan
from rows import cluster
from table import Line, Sample, Target

from statefulset.cli.dev.harness import DevCluster

KEY = "thousand"
REAL = 10
"""One sidecar in so many is a process of its own."""
PROCESSES = 3
PAUSE = 1.5
WARM_UP = 2
LIMIT = 1.5


def run(plan: DeliveryPlan, said: Callable[[str], None]) -> list[Line]:
    real = plan.thousand // REAL
    with cluster.three() as made:
        api = dataclasses.replace(cluster.api(made), grant=pods.GRANT)
        port = api.ports[made.leader()]
        said(f"thousand: starting {real} processes and {plan.thousand - real} sidecars in {PROCESSES} more")
        mounts = [str(each.mount) for each in pods.start(made, [f"web-{number}" for number in range(real)])]
        with pods.light(made, plan.thousand - real, PROCESSES) as (_, light):
            places = [pods.place(mount, KEY) for mount in (*mounts, *light)]
            said(f"thousand: {plan.turns} rotations")
            uvloop.run(files.rotate(api, port, KEY, places, range(1, 1 + WARM_UP), PAUSE))
            cpu = _processor(made)
            numbers = range(1 + WARM_UP, 1 + WARM_UP + plan.turns)
            found = uvloop.run(files.rotate(api, port, KEY, places, numbers, PAUSE))
            node_ms = 1000 * (_processor(made) - cpu) / plan.turns
    last, middle = (Sample.of(part(each.lags) for each in found) for part in (max, statistics.median))
    targets = (Target(f"<= {LIMIT:g}", last.high <= LIMIT),)
    note = (
        f"{real} real processes, {plan.thousand - real} in {PROCESSES} processes with the sidecar's own code and files"
    )
    return [
        Line("thousand", f"1 rotation, {plan.thousand} sidecars: the last", "s", last, targets=targets, notes=(note,)),
        Line("thousand", f"1 rotation, {plan.thousand} sidecars: half of them", "s", middle),
        Line("thousand", "processor of all three nodes in one rotation", "ms", Sample.of([node_ms])),
    ]


def _processor(made: DevCluster) -> float:
    return sum(pods.cpu_seconds(made.node(name).pid) for name in made.names)
