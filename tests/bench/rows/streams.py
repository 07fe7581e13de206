"""Row `streams`: 5000 sidecars on three nodes, kill -9 of a follower: how long until all have a stream again, and how
slow PUTs at the other two are meanwhile. And what an idle sidecar costs a node.

The sidecars are the real client code in two processes (workers/clients.py): session, dialer, TLS and files. A follower,
because a lost leader costs PUTs an election, which bench-write measures; that would hide what the dialling costs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import os
import time
from collections.abc import Callable, Sequence

import uvloop
from children import BenchError, Child
from load import pods
from load.api import OK, Safe
from load.wire import Broken, NotSent, Wire
from plan import DeliveryPlan
from rows import cluster
from table import Line, Sample, Target

from statefulset.cli.dev.harness import DevCluster

PROCESSES = 2
EVERY = 0.02
WIRES = 50
SIZE = 64
BEFORE = 2.0
QUIET = 2.0
BACK = 15.0
SLOWEST = 500.0
IDLE_KIB = 40.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """One repetition. `back`: seconds, one for each sidecar that lost its stream; `puts`: ms, of those sent after.
    `used`: seconds of processor until QUIET after the last was back, of the two nodes, the sidecars, and this process, which sends
    the PUTs and stands in for the API server that is asked about every token."""

    back: list[float]
    puts: list[float]
    failed: int
    used: tuple[float, float, float]


class Puts:
    """One PUT every 20 ms at two nodes in turn, on warm connections, whatever became of those before."""

    def __init__(self, api: Safe, nodes: Sequence[str]) -> None:
        self.took: list[tuple[float, float]] = []
        self.failed = 0
        self._api, self._nodes = api, nodes
        self._idle: dict[str, list[Wire]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for node in self._nodes:
            self._idle[node] = [await Wire.dial(self._api.ports[node], self._api.context) for _ in range(WIRES)]

    async def run(self) -> None:
        for number in itertools.count():
            node = self._nodes[number % len(self._nodes)]
            if self._idle[node]:
                task = asyncio.ensure_future(self._put(node, f"probe-{number % 50}"))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(EVERY)

    async def _put(self, node: str, key: str) -> None:
        wire, begin = self._idle[node].pop(), time.time()
        try:
            status, _ = await wire.ask(self._api.put(key, SIZE))
        except (Broken, NotSent):
            self.failed += 1
            return
        self._idle[node].append(wire)
        self.failed += status != OK
        self.took.append((begin, time.time() - begin))

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        for wire in itertools.chain.from_iterable(self._idle.values()):
            wire.close()


def run(plan: DeliveryPlan, said: Callable[[str], None]) -> list[Line]:
    with cluster.three() as made:
        api = dataclasses.replace(cluster.api(made), grant=pods.GRANT)
        uvloop.run(_put_shared(api))
        made.settle()
        time.sleep(2.0)
        before = _resident(made)
        said(f"streams: {plan.streams} sidecars dial")
        with pods.light(made, plan.streams, PROCESSES) as (children, _):
            idle = _idle(made, plan, before)
            found = [
                _lose(made, api, children, said, f"{number + 1} of {plan.repetitions}")
                for number in range(plan.repetitions)
            ]
    return _lines(plan, found, idle)


async def _put_shared(api: Safe) -> None:
    wire = await Wire.dial(next(iter(api.ports.values())), api.context)
    status, _ = await wire.ask(api.put("shared", SIZE))
    wire.close()
    if status != OK:
        raise BenchError(f"a PUT was answered with {status}")


def _resident(made: DevCluster) -> int:
    return sum(pods.resident_kib(made.node(name).pid) for name in made.names)


def _idle(made: DevCluster, plan: DeliveryPlan, before: int) -> tuple[float, float]:
    """(KiB, part of a processor) that one idle sidecar costs a node."""
    time.sleep(5.0)
    size = (_resident(made) - before) / plan.streams
    pids = [made.node(name).pid for name in made.names]
    began, cpu = time.monotonic(), sum(map(pods.cpu_seconds, pids))
    time.sleep(plan.idle)
    return size, (sum(map(pods.cpu_seconds, pids)) - cpu) / (time.monotonic() - began) / plan.streams


def _lose(made: DevCluster, api: Safe, children: list[Child], said: Callable[[str], None], which: str) -> Loss:
    """A follower dies, comes back, and the cluster is whole again."""
    leader = made.leader()
    held = {name: status["sidecars"] for name, status in made.status().items() if name != leader}
    victim = max(held, key=lambda name: held[name])
    said(f"streams: {which}: kill -9 of {victim}, {held[victim]} streams")
    survivors = [name for name in made.names if name != victim]
    quiet = dataclasses.replace(api, grant="bench/nobody-has-this")
    gc.collect()
    found = uvloop.run(_measure(made, quiet, survivors, victim, children))
    made.again(victim)
    made.wait_ready(made.names)
    made.settle()
    return found


async def _measure(made: DevCluster, api: Safe, survivors: list[str], victim: str, children: list[Child]) -> Loss:
    puts = Puts(api, survivors)
    await puts.open()
    running = asyncio.ensure_future(puts.run())
    await asyncio.sleep(BEFORE)
    parties = ([made.node(name).pid for name in survivors], [child.process.pid for child in children], [os.getpid()])
    before = [sum(map(pods.cpu_seconds, pids)) for pids in parties]
    at = time.time()
    await asyncio.to_thread(made.kill, victim)
    asked = (asyncio.to_thread(child.ask, "moved", since=at, quiet=QUIET) for child in children)
    back = [moment - at for answer in await asyncio.gather(*asked) for moment in answer["back"]]
    nodes, sidecars, own = (sum(map(pods.cpu_seconds, pids)) - was for pids, was in zip(parties, before, strict=True))
    running.cancel()
    await puts.close()
    return Loss(back, [1000 * took for begin, took in puts.took if begin >= at], puts.failed, (nodes, sidecars, own))


def _lines(plan: DeliveryPlan, found: list[Loss], idle: tuple[float, float]) -> list[Line]:
    last, slowest = Sample.of(max(each.back) for each in found), Sample.of(max(each.puts) for each in found)
    counts = ", ".join(str(len(each.back)) for each in found)
    failed = sum(each.failed for each in found)
    size, cpu = idle
    used = ", ".join("/".join(f"{part:.1f}" for part in each.used) for each in found)
    return [
        Line(
            "streams", f"{plan.streams} sidecars, a follower died: all back", "s", last,
            targets=(Target(f"<= {BACK:g}", last.high <= BACK),),
            notes=(
                f"streams that had to move: {counts}",
                f"processor until {QUIET:g} s after, s (two nodes, sidecars, PUTs and API server): {used}",
            ),
        ),
        Line(
            "streams", "the slowest PUT meanwhile", "ms", slowest,
            targets=(Target(f"<= {SLOWEST:g}", slowest.high <= SLOWEST and not failed),),
            notes=(f"{sum(len(each.puts) for each in found)} PUTs, {failed} failed",),
        ),
        Line(
            "streams", "node: memory of an idle sidecar", "KiB", Sample.of([size]),
            targets=(Target(f"<= {IDLE_KIB:g}", size <= IDLE_KIB),),
        ),
        Line("streams", "node: processor for 1000 idle sidecars", "%", Sample.of([100_000 * cpu])),
    ]  # fmt: skip
