"""Row `put`: PUTs over HTTPS to three nodes, beside etcd: 64 clients, and one.

Both sides: TLS for clients and peers, fsync, keep-alive, the same generator, values and keys; new clusters for every
repetition, one at a time.
"""

from __future__ import annotations

import asyncio
import collections
import statistics
import time
from collections.abc import Callable

import uvloop
from children import BenchError, disk
from load import wrk
from load.api import OK, Api
from load.wire import Wire
from peers import etcd
from plan import CALLERS, SIZES, Plan
from rows import cluster
from table import Line, Sample, Target
from tools import Missing, need

TIMES = 1.5
SLOWER = 2.0
SINGLE = 64
"""Bytes of the values that one client puts."""

Figures = dict[str, list[float]]


def run(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    generator = need("wrk", "wrk", said)
    note = ""
    try:
        program = need("etcd", "etcd-server", said)
    except Missing as error:
        program, note = "", f"no peer: {error}"
        said(note)
    mine: Figures = collections.defaultdict(list)
    theirs: Figures = collections.defaultdict(list)
    for repetition in range(plan.repetitions):
        said(f"put: repetition {repetition + 1} of {plan.repetitions}")
        with cluster.three() as made:
            _measure(generator, cluster.api(made), made.leader(), plan, mine)
        if program:
            with disk() as folder, etcd.cluster(program, folder) as api:
                _measure(generator, api, etcd.leader(api), plan, theirs)
    return _lines(mine, theirs, note)


def _measure(generator: str, api: Api, leader: str, plan: Plan, out: Figures) -> None:
    """One repetition against one cluster."""
    for size in SIZES:
        wrk.run(generator, api, CALLERS, size, plan.warm_up)
        found = wrk.run(generator, api, CALLERS, size, plan.seconds)
        out[f"{size} rate"].append(found.rate)
        out[f"{size} p50"].append(found.p50)
        out[f"{size} p99"].append(found.p99)
    follower = next(name for name in api.ports if name != leader)
    for place, name in (("leader", leader), ("follower", follower)):
        out[f"single {place}"].append(uvloop.run(single(api, api.ports[name], plan.singles)))


async def single(api: Api, port: int, count: int) -> float:
    """Median latency of one client on a warm connection, ms."""
    wire = await Wire.dial(port, api.context)
    times = []
    for number in range(count + count // 4):
        request = api.put(f"single-{number}", SINGLE)
        begin = time.perf_counter()
        status, _ = await wire.ask(request)
        times.append(time.perf_counter() - begin)
        if status != OK:
            raise BenchError(f"a PUT to {api.kind} was answered with {status}")
    wire.close()
    await asyncio.sleep(0)
    return statistics.median(times[count // 4 :]) * 1000


def _lines(mine: Figures, theirs: Figures, note: str) -> list[Line]:
    """Targets need the peer."""
    ours = {what: Sample.of(values) for what, values in mine.items()}
    peer = {what: Sample.of(values) for what, values in theirs.items()}
    notes = (note,) if note else ()
    out = []
    targets: tuple[Target, ...] = ()
    for size in SIZES:
        what = f"{size} rate"
        if peer:
            targets = (Target(f">= {TIMES:g} x etcd", ours[what].median >= TIMES * peer[what].median),)
        out.append(
            Line("put", f"{CALLERS} clients, {size} B", "/s", ours[what], peer.get(what), "etcd", targets, notes)
        )
        for part in ("p50", "p99"):
            key = f"{size} {part}"
            out.append(Line("put", f"{CALLERS} clients, {size} B, {part}", "ms", ours[key], peer.get(key), "etcd"))
    for place in ("leader", "follower"):
        what = f"single {place}"
        if peer:
            targets = (Target(f"<= {SLOWER:g} x etcd", ours[what].median <= SLOWER * peer[what].median),)
        text = f"1 client at the {place}, {SINGLE} B, median"
        out.append(Line("put", text, "ms", ours[what], peer.get(what), "etcd", targets))
    return out
