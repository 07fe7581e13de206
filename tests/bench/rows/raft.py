"""Row `raft`: commits a second of node.raft alone, beside the released library at its best.

Three processes each, callers inside the leader's. Ours: TLS 1.3, sealed log, fsync, request ids. Stock: plain TCP,
memory only or its journal (which it never fsyncs), and no request ids. Every repetition starts new clusters.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from children import BenchError, Child, disk, free_ports, stop_all
from peers import stock
from plan import CALLERS, SIZES, Plan
from table import Line, Sample, Target

from node.crypto.rootkey import create_identity

NAMES = ("safe-0", "safe-1", "safe-2")
CLUSTER = "bench"
WANTED = 20_000
TIMES = 3.0
ELECTION = 30.0

Rates = dict[int, list[float]]


@contextlib.contextmanager
def ours() -> Iterator[dict[str, Child]]:
    """Three nodes of node.raft."""
    with disk() as folder:
        create_identity(folder / "identity", CLUSTER)
        peers = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        common = {"cluster": CLUSTER, "peers": peers, "identity": str(folder / "identity")}
        children: dict[str, Child] = {}
        try:
            for name in NAMES:
                options = {**common, "name": name, "data": str(folder / name)}
                children[name] = Child("workers.ours", options, folder / f"{name}.log")
            yield children
        finally:
            stop_all(children)


def leader(children: Mapping[str, Child]) -> Child:
    """Who leads, once somebody does. Raises BenchError."""
    deadline = time.monotonic() + ELECTION
    while time.monotonic() < deadline:
        for child in children.values():
            if child.ask("state")["leader"]:
                return child
        time.sleep(0.05)
    raise next(iter(children.values())).trouble(f"no leader within {ELECTION:g} s")


def measure(children: Mapping[str, Child], plan: Plan, rates: Rates) -> None:
    """One repetition: every size against this cluster."""
    for size in SIZES:
        child = leader(children)
        found = child.ask("run", callers=CALLERS, size=size, warm_up=plan.warm_up, seconds=plan.seconds)
        if not found["led"]:
            raise BenchError(f"{child.module} lost its leadership while it was measured")
        rates[size].append(found["rate"])


def run(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    ways = {**stock.WAYS, **stock.TUNED}
    mine: Rates = {size: [] for size in SIZES}
    theirs: dict[str, Rates] = {way: {size: [] for size in SIZES} for way in ways}
    for repetition in range(plan.repetitions):
        said(f"raft: repetition {repetition + 1} of {plan.repetitions}")
        with ours() as children:
            measure(children, plan, mine)
        for name, way in ways.items():
            with disk() as folder, stock.cluster(way, folder) as children:
                measure(children, plan, theirs[name])
    out = []
    for size in SIZES:
        ours_, stock_ = Sample.of(mine[size]), {name: Sample.of(rates[size]) for name, rates in theirs.items()}
        out += [_line(size, ours_, stock_), *(_tuned(size, name, ours_, stock_[name]) for name in stock.TUNED)]
    return out


def _line(size: int, sample: Sample, ways: Mapping[str, Sample]) -> Line:
    best = max(stock.WAYS, key=lambda way: ways[way].median)
    return Line(
        "raft",
        f"{CALLERS} callers, {size} B",
        "commits/s",
        sample,
        ways[best],
        "stock",
        (
            Target(f">= {WANTED}/s", sample.median >= WANTED),
            Target(f">= {TIMES:g} x stock", sample.median >= TIMES * ways[best].median),
        ),
        (f"{size} B: stock at its best with its own periods is {best!r}",),
        {"stock": {way: list(found.values) for way, found in ways.items()}},
    )


def _tuned(size: int, way: str, sample: Sample, peer: Sample) -> Line:
    """Beyond its own settings the library can be driven faster than the target's peer: that is shown too."""
    return Line("raft", f"{CALLERS} callers, {size} B, stock tuned: {way}", "commits/s", sample, peer, "stock")
