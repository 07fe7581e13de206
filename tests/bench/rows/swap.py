"""Row `swap`: an acknowledged PUT to the file in place, with 1 and with 100 sidecars, beside two peers in the same run:
a watch of etcd that writes a file, and a poller that asks etcd every 20 s.

Sidecars are processes of their own; the peers' watchers are a hundred streams of one process, which is less work.
Each write waits until the one before is everywhere; a poller is written past, as it would be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from children import Child, disk
from load import files, pods
from load.api import Api
from load.files import Place
from peers import etcd
from plan import DeliveryPlan
from rows import cluster
from table import Line, Sample, Target
from tools import Missing, need

KEY = "swap"
PAUSE = 0.2
LIMIT_MS = 100.0
PERIOD = 20.0
POLLERS = 10
Figures = dict[int, list[tuple[list[float], list[float]]]]
"""Count of files -> for each repetition the times from acknowledgement and from sending to every file, in ms."""
LAGS, WHOLE = operator.attrgetter("lags"), operator.attrgetter("whole")


def run(plan: DeliveryPlan, said: Callable[[str], None]) -> list[Line]:
    counts = (1, plan.sidecars)
    ours = _ours(plan, counts, said)
    note, theirs, polled = "", Figures(), list[float]()
    try:
        program = need("etcd", "etcd-server", said)
        theirs, polled = _theirs(program, plan, counts, said)
    except Missing as error:
        note = f"no peer: {error}"
        said(note)
    return _lines(ours, theirs, polled, note)


def _ours(plan: DeliveryPlan, counts: tuple[int, ...], said: Callable[[str], None]) -> Figures:
    out: Figures = {}
    with cluster.three() as made:
        api = dataclasses.replace(cluster.api(made), grant=pods.GRANT)
        port = api.ports[made.leader()]
        mounts: list[Path] = []
        for count in counts:
            said(f"swap: {count} sidecars")
            names = [f"web-{number}" for number in range(len(mounts), count)]
            mounts += [each.mount for each in pods.start(made, names)]
            out[count] = _repeat(plan, api, port, [pods.place(mount, KEY) for mount in mounts])
    return out


def _theirs(
    program: str, plan: DeliveryPlan, counts: tuple[int, ...], said: Callable[[str], None]
) -> tuple[Figures, list[float]]:
    out: Figures = {}
    with disk() as folder, etcd.cluster(program, folder) as api:
        port = api.ports[etcd.leader(api)]
        for count in counts:
            said(f"swap: {count} watches of etcd")
            with _peer(api, folder, count, 0) as places:
                out[count] = _repeat(plan, api, port, places)
        said(f"swap: {POLLERS} pollers of etcd for {plan.polled:g} s")
        with _peer(api, folder, 0, POLLERS) as places:
            rng = random.Random(1)
            lags = uvloop.run(
                files.steadily(api, port, KEY, places, plan.polled, PERIOD + 1, lambda: rng.uniform(1.0, 3.0))
            )
    return out, [1000 * lag for lag in lags]


@contextlib.contextmanager
def _peer(api: Api, folder: Path, watch: int, poll: int) -> Iterator[list[Place]]:
    with pods.memory() as memory:
        paths = [str(memory / f"file-{number}") for number in range(watch + poll)]
        options = {
            "ca_file": str(folder / "ca.crt"), "ports": list(api.ports.values()), "key": f"bench/{KEY}",
            "watch": paths[:watch], "poll": paths[watch:], "period": PERIOD,
        }  # fmt: skip
        child = Child("workers.watchers", options, folder / "watchers.log")
        try:
            deadline = time.monotonic() + 30
            while child.ask("state")["watching"] < watch:
                if time.monotonic() > deadline:
                    raise child.trouble("not all watches began")
                time.sleep(0.1)
            yield [Place(path) for path in paths]
        finally:
            child.stop()


def _repeat(plan: DeliveryPlan, api: Api, port: int, places: list[Place]) -> list[tuple[list[float], list[float]]]:
    """Numbers go on where the last user of the key left off."""
    out = []
    first = max(place.number() for place in places) + 1
    for repetition in range(plan.repetitions):
        begin = first + repetition * (plan.warm_up + plan.rotations)
        numbers = range(begin, begin + plan.warm_up + plan.rotations)
        found = uvloop.run(files.rotate(api, port, KEY, places, numbers, PAUSE))[plan.warm_up :]
        lags, whole = ([1000 * at for each in found for at in times(each)] for times in (LAGS, WHOLE))
        out.append((lags, whole))
    return out


def _lines(ours: Figures, theirs: Figures, polled: list[float], note: str) -> list[Line]:
    out = []
    notes = (note,) if note else ()
    for count, found in ours.items():
        who = f"{count} sidecar{'s' if count > 1 else ''}"
        for at, begin in enumerate(("acknowledgement", "sending")):
            for name, part in (("p50", statistics.median), ("p99", files.p99)):
                own = Sample.of(part(each[at]) for each in found)
                peer = Sample.of(part(each[at]) for each in theirs[count]) if count in theirs else None
                targets = ()
                if count > 1 and at == 0 and name == "p99":
                    targets = (Target(f"<= {LIMIT_MS:g}", own.high <= LIMIT_MS),)
                out.append(Line("swap", f"{who}, from {begin}, {name}", "ms", own, peer, "etcd watch", targets, notes))
                notes = ()
    if polled:
        first = next(iter(ours.values()))
        own = Sample.of(statistics.median(each[1]) for each in first)
        told = f"{POLLERS} pollers, {len(polled)} files, from acknowledgement; p99 {files.p99(polled):.0f} ms"
        peer = Sample.of(polled)
        out.append(Line("swap", "1 sidecar, from sending, p50", "ms", own, peer, f"poll / {PERIOD:g} s", notes=(told,)))
    return out
