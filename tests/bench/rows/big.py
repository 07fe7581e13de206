"""Row `big`: what 100 000 secrets of 1 KiB cost: stalls, starts, a blank node, memory.

Whole nodes (workers/loaded.py); the secrets go in below the HTTP door, everything else is as in a pod.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from children import BenchError, Child, disk, stop_all
from plan import Plan
from table import Line, Sample, Target

from node.crypto.rootkey import create_identity
from statefulset.cli.dev import ports as dev_ports
from statefulset.cli.dev import programs
from statefulset.cli.dev.issuer import Issuer

SIZE = 1024
LOADERS = 256
WRITERS = 16
READY = 120.0
POLL = 0.02
STALL, START, BLANK, MEMORY = 50.0, 4.0, 15.0, 400.0


class Nodes:
    """Three nodes by name; each can be stopped, started again, or started with nothing."""

    def __init__(self, folder: Path, issuer: Issuer, ports: dev_ports.Ports) -> None:
        self.folder, self.issuer, self.ports = folder, issuer, ports
        self.names = programs.node_names(len(ports.nodes))
        self.children: dict[str, Child] = {}

    def data(self, name: str) -> Path:
        return self.folder / name

    def start(self, name: str) -> Child:
        identity = self.folder / "identity"
        env = programs.node_env(name, self.ports, self.data(name), identity, self.issuer.url, self.issuer.ca_file)
        self.children[name] = Child("workers.loaded", env, self.folder / f"{name}.log")
        return self.children[name]

    def wait(self, name: str) -> float:
        """Seconds from the start of its process until it is ready. Raises BenchError."""
        child = self.children[name]
        while not child.ask("state")["ready"]:
            if time.monotonic() > child.started + READY:
                raise child.trouble(f"not ready within {READY:g} s")
            time.sleep(POLL)
        return time.monotonic() - child.started

    def leader(self) -> str:
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            for name, child in self.children.items():
                if child.ask("state").get("leader"):
                    return name
            time.sleep(POLL)
        raise BenchError(f"no leader within {READY:g} s")

    def memory(self, what: str) -> list[float]:
        """VmRSS (now) or VmHWM (the most it has been) of each node, MB."""
        return [_memory(child.process.pid, what) for child in self.children.values()]


def _memory(pid: int, what: str) -> float:
    """proc(5): in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f"process {pid} has no {what}")


@contextlib.contextmanager
def three() -> Iterator[Nodes]:
    """Started and ready."""
    with disk() as folder, contextlib.ExitStack() as stack:
        create_identity(folder / "identity", programs.CLUSTER)
        ports = dev_ports.choose(3, random.SystemRandom())
        issuer = Issuer(folder / "issuer", ports.issuer)
        issuer.start()
        stack.callback(issuer.stop)
        nodes = Nodes(folder, issuer, ports)
        stack.callback(stop_all, nodes.children)
        for name in nodes.names:
            nodes.start(name)
        for name in nodes.names:
            nodes.wait(name)
        yield nodes


def run(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    with three() as nodes:
        said(f"big: loading {plan.secrets} secrets")
        leader = nodes.leader()
        chief = nodes.children[leader]
        loading = chief.ask("load", READY * 5, count=plan.secrets, size=SIZE, callers=LOADERS)
        said("big: snapshots")
        chief.ask("write", writers=WRITERS, size=SIZE)
        usual = [chief.ask("watch", seconds=1.0)["stall"] for _ in range(plan.repetitions)]
        shots = [chief.ask("snapshot") for _ in range(plan.repetitions)]
        chief.ask("rest")
        for child in nodes.children.values():
            child.ask("snapshot")
        memory, peak = nodes.memory("VmRSS"), max(nodes.memory("VmHWM"))
        follower = next(name for name in nodes.names if name != leader)
        starts = [_restart(nodes, follower, said) for _ in range(plan.repetitions)]
        blanks = [_blank(nodes, leader, follower, plan.secrets, said) for _ in range(plan.repetitions)]
    return _lines(plan.secrets, loading, usual, shots, memory, peak, starts, blanks)


def _restart(nodes: Nodes, name: str, said: Callable[[str], None]) -> float:
    said(f"big: {name} starts from its snapshot")
    nodes.children[name].stop()
    nodes.start(name)
    return nodes.wait(name)


def _blank(nodes: Nodes, leader: str, name: str, secrets: int, said: Callable[[str], None]) -> float:
    """From the start of a process without a file to a voter that is in step, under writes."""
    said(f"big: {name} starts with nothing while {WRITERS} write")
    nodes.children[leader].ask("write", writers=WRITERS, size=SIZE)
    nodes.children[name].stop()
    shutil.rmtree(nodes.data(name))
    nodes.start(name)
    took = nodes.wait(name)
    held = nodes.children[name].ask("state")["secrets"]
    if held < secrets:
        raise BenchError(f"{name} says that it is ready with {held} of {secrets} secrets")
    nodes.children[leader].ask("rest")
    return took


def _lines(
    secrets: int,
    loading: dict[str, float],
    usual: list[float],
    shots: list[dict[str, float]],
    memory: list[float],
    peak: float,
    starts: list[float],
    blanks: list[float],
) -> list[Line]:
    what = f"{secrets} x {SIZE} B"
    stall = Sample.of(shot["stall"] for shot in shots)
    start, blank, resident = Sample.of(starts), Sample.of(blanks), Sample.of(memory)
    calm, took = Sample.of(usual), Sample.of(shot["seconds"] for shot in shots)
    note = f"worst stall of a second without a snapshot {calm} ms; a snapshot took {took} s"
    load_note = (
        f"loaded in {loading['seconds']:.1f} s by {LOADERS} callers, worst stall meanwhile {loading['stall']:.0f} ms"
    )
    return [
        Line(
            "big",
            f"{what}: worst stall in a snapshot, {WRITERS} writers",
            "ms",
            stall,
            targets=(Target(f"worst <= {STALL:g}", stall.high <= STALL),),
            notes=(note, load_note),
        ),
        Line("big", "start from snapshot", "s", start, targets=(Target(f"<= {START:g}", start.median <= START),)),
        Line(
            "big",
            f"blank node installed, {WRITERS} writers",
            "s",
            blank,
            targets=(Target(f"<= {BLANK:g}", blank.median <= BLANK),),
        ),
        Line(
            "big",
            "resident memory, three nodes",
            "MB",
            resident,
            targets=(Target(f"worst <= {MEMORY:g}", resident.high <= MEMORY),),
            notes=(f"at its most a node had {peak:.0f} MB",),
        ),
    ]
