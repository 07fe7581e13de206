"""Row `put`: PUTs over HTTPS to three nodes, beside etcd: 64 clients, and one.

Both sides: TLS for clients and peers, fsync, keep-alive, the same generator, values and keys; new clusters for every
repetition, one at a time.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator

import uvloop
from children import BenchError, Child, disk, free_ports, stop_all
from load import wrk
from load.api import OK, Api, Safe, client_context
from load.wire import Wire
from peers import etcd
from plan import CALLERS, SIZES, Plan
from rows import cluster
from table import Line, Sample, Target
from tools import Missing, need

from node.crypto.rootkey import create_identity

TIMES = 1.5
SLOWER = 2.0
CORES = os.cpu_count() or 1
FLOOR = (
    "{size} B: HTTP, TLS and the load generator alone cost {us:.0f} us of all processors a PUT; what is between this row "
    "and ours is admission, sealing, Raft on three nodes, fsync and three applications"
)
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
    floors: Figures = collections.defaultdict(list)
    for repetition in range(plan.repetitions):
        said(f"put: repetition {repetition + 1} of {plan.repetitions}")
        with cluster.three() as made:
            _measure(generator, cluster.api(made), made.leader(), plan, mine)
        with floor() as api:
            _rates(generator, api, plan, floors)
        if program:
            with disk() as folder, etcd.cluster(program, folder) as api:
                _measure(generator, api, etcd.leader(api), plan, theirs)
    lines = _lines(mine, theirs, note)
    for size in SIZES:
        what = f"floor: {CALLERS} clients, {size} B, the handler answers at once"
        rate = Sample.of(floors[f"{size} rate"])
        lines.append(Line("put", what, "/s", rate, notes=(FLOOR.format(size=size, us=CORES * 1e6 / rate.median),)))
        lines.append(Line("put", f"floor: {size} B, CPU of the servers a PUT", "us", Sample.of(floors[f"{size} cpu"])))
    return lines


@contextlib.contextmanager
def floor() -> Iterator[Safe]:
    """Three processes that serve the same requests with the library of the admin door and do nothing."""
    with disk() as folder, contextlib.ExitStack() as stack:
        create_identity(folder / "identity", "bench")
        (folder / "token").write_text("x" * 900, "ascii")
        children: dict[str, Child] = {}
        stack.callback(stop_all, children)
        ports = dict(zip(("floor-0", "floor-1", "floor-2"), free_ports(3), strict=True))
        for name, port in ports.items():
            options = {"identity": str(folder / "identity"), "port": port}
            children[name] = Child("workers.floor", options, folder / f"{name}.log")
        for child in children.values():
            child.ask("state")
        pids = tuple(child.process.pid for child in children.values())
        yield Safe(ports, client_context(folder / "identity" / "server-ca.crt"), folder / "token", pids=pids)


def _measure(generator: str, api: Api, leader: str, plan: Plan, out: Figures) -> None:
    """One repetition against one cluster."""
    _rates(generator, api, plan, out, leader)
    follower = next(name for name in api.ports if name != leader)
    for place, name in (("leader", leader), ("follower", follower)):
        out[f"single {place}"].append(uvloop.run(single(api, api.ports[name], plan.singles)))


def _rates(generator: str, api: Api, plan: Plan, out: Figures, leader: str = "") -> None:
    for size in SIZES:
        wrk.run(generator, api, CALLERS, size, plan.warm_up)
        found = wrk.run(generator, api, CALLERS, size, plan.seconds)
        out[f"{size} rate"].append(found.rate)
        out[f"{size} p50"].append(found.p50)
        out[f"{size} p99"].append(found.p99)
        out[f"{size} cpu"].append(sum(found.cpu))
        if leader:
            out[f"{size} cpu leader"].append(found.cpu[list(api.ports).index(leader)])


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
        for part, where in (("cpu", "three nodes"), ("cpu leader", "leader")):
            key, text = f"{size} {part}", f"{CALLERS} clients, {size} B, CPU of the {where} a PUT"
            out.append(Line("put", text, "us", ours[key], peer.get(key), "etcd"))
    for place in ("leader", "follower"):
        what = f"single {place}"
        if peer:
            targets = (Target(f"<= {SLOWER:g} x etcd", ours[what].median <= SLOWER * peer[what].median),)
        text = f"1 client at the {place}, {SINGLE} B, median"
        out.append(Line("put", text, "ms", ours[what], peer.get(what), "etcd", targets))
    return out
