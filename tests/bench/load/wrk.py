"""Many clients from one cheap program: a `wrk` for each node, all at once."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from children import HOST, BenchError
from load.api import Api

SCRIPT = Path(__file__).with_name("put.lua")
MARK = "BENCH "
KEYS = 5_000
"""Keys each wrk goes through: below the store's limit however fast it is."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What came of it: puts a second in all, median and 99th percentile of the slowest node, ms; `cpu`: of each process
    of the store, us of processor a put of the whole cluster."""

    rate: float
    p50: float
    p99: float
    cpu: tuple[float, ...]


def run(wrk: str, api: Api, clients: int, size: int, seconds: float) -> Load:
    """`clients` connections spread over all nodes. Raises BenchError if a single request was not a success."""
    nodes = list(api.ports.values())
    counts = [clients // len(nodes) + (number < clients % len(nodes)) for number in range(len(nodes))]
    before = _spent(api.pids)
    running = [_start(wrk, api, port, count, size, seconds) for port, count in zip(nodes, counts, strict=True)]
    found = [_result(process, seconds) for process in running]
    after = _spent(api.pids)
    if wrong := [each for each in found if each["status"] or each["broken"] or not each["requests"]]:
        raise BenchError(f"requests to {api.kind} failed: {wrong}")
    rate = sum(each["requests"] / each["seconds"] for each in found)
    puts = sum(each["requests"] for each in found)
    cpu = tuple((end - begin) * 1e6 / puts for begin, end in zip(before, after, strict=True))
    return Load(rate, max(each["p50"] for each in found), max(each["p99"] for each in found), cpu)


def _spent(pids: Sequence[int]) -> list[float]:
    """Seconds of processor that each process has used so far, of its own and in the kernel (proc_pid_stat(5))."""
    stats = [Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split() for pid in pids]
    return [(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") for fields in stats]


def _start(wrk: str, api: Api, port: int, clients: int, size: int, seconds: float) -> subprocess.Popen[str]:
    command = [wrk, "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(SCRIPT)]
    arguments = ["--", api.kind, str(size), secrets.token_hex(4), str(KEYS)]
    env = {**os.environ, "BENCH_TOKEN": api.token}
    url = f"https://{HOST}:{port}/"
    return subprocess.Popen(
        [*command, url, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _result(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    out, _ = process.communicate(timeout=seconds + 60)
    line = next((line for line in out.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise BenchError(f"wrk ended with code {process.returncode}: {out.strip()[-500:]}")
    found: dict[str, Any] = json.loads(line.removeprefix(MARK))
    return found
