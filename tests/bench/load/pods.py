"""Sidecars for the rows of delivery: real processes, and many in one process where there would be thousands."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from children import BenchError, Child, stop_all
from load.files import Place

from statefulset.cli.dev import folders, programs
from statefulset.cli.dev.harness import LIFETIME, DevCluster, Workload

NAMESPACE = "bench"
GRANT = f"{NAMESPACE}/*"
STARTING = 6
PATIENCE = 120.0
HERTZ = os.sysconf("SC_CLK_TCK")


def start(cluster: DevCluster, names: Sequence[str]) -> list[Workload]:
    """Real sidecars, a few at a time, until each has its first set. Raises BenchError."""
    out, waiting = [], list[Workload]()
    deadline = time.monotonic() + PATIENCE
    for name in (*names, ""):
        while len(waiting) >= STARTING or (waiting and not name):
            waiting = [each for each in waiting if not _complete(each.mount)]
            if time.monotonic() > deadline:
                raise BenchError(f"{len(waiting)} sidecars got no set within {PATIENCE:g} s")
            time.sleep(0.02)
        if name:
            waiting.append(cluster.add_workload(name, namespace=NAMESPACE))
            out.append(waiting[-1])
    return out


def _complete(mount: Path) -> bool:
    try:
        return bool(json.loads((mount / "..data/..manifest.json").read_bytes())["complete"])
    except FileNotFoundError:
        return False


def place(mount: Path | str, key: str) -> Place:
    return Place(f"{mount}/{key}", f"{mount}/..data")


@contextlib.contextmanager
def light(cluster: DevCluster, count: int, processes: int) -> Iterator[tuple[list[Child], list[str]]]:
    """`count` sidecars in a few processes, connected, and their mounts. They live as long as one token."""
    children: dict[str, Child] = {}
    mounts = []
    try:
        for number in range(processes):
            pods = []
            for turn in range(number, count, processes):
                pod = f"light-{turn:05}"
                token_file, mount = cluster.home.tokens / pod, cluster.home.mount(pod)
                token = cluster.issuer.token(
                    NAMESPACE, "light", audience=programs.AUDIENCE, pod=pod, lifetime=4 * LIFETIME
                )
                token_file.write_text(token, "ascii")
                pods.append({"pod": pod, "token_file": str(token_file), "target": str(mount)})
                mounts.append(str(mount))
            env = programs.sidecar_env(cluster.ports, cluster.home.ca_file, Path("-"), Path("/-"), "-")
            told = cluster.home.logs / f"light-{number}.json"
            told.write_text(json.dumps({"env": env, "pods": pods}), "utf-8")
            log = cluster.home.logs / f"light-{number}.log"
            children[str(number)] = Child("workers.clients", {"file": str(told)}, log)
        for child in children.values():
            child.tell("connect")
        for child in children.values():
            child.answer(PATIENCE)
        yield list(children.values()), mounts
    finally:
        stop_all(children)


def resident_kib(pid: int) -> int:
    """VmRSS by proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def cpu_seconds(pid: int) -> float:
    """User and system time so far, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """A folder in memory, as a pod's volume is."""
    base = folders.find_memory(folders.candidates(os.environ))
    with tempfile.TemporaryDirectory(prefix="raftsafe-bench-", dir=base) as path:
        yield Path(path)
