"""python tests/chaos/delivery [--seed N] [--pods N] [--quick]: delivery under everything that can happen to the nodes.

Three nodes and 200 sidecars are real processes with real TLS and files in memory. Writers rotate secrets all the time,
readers look at every file every 20 ms. Exit code 1 if a file was ever missing, torn, mixed or older, if an acknowledged
write did not arrive, if a promise of G3 was not kept, or if too little happened to tell.
Needs root, for a network namespace of its own and iptables.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "bench")]

from course import Course  # noqa: E402
from pods import COMMON, SET, Cluster, own  # noqa: E402
from tools import Missing, need  # noqa: E402

from statefulset.chaos import lags, marks, reader  # noqa: E402
from statefulset.chaos.history import miscounted  # noqa: E402
from statefulset.chaos.lags import Phase  # noqa: E402
from statefulset.chaos.writer import PATIENCE, Writer  # noqa: E402
from statefulset.cli.dev.processes import bound  # noqa: E402

INSIDE: Final = "RAFTSAFE_CHAOS_NAMESPACE"
READERS: Final = 2
SHARED: Final = 1.0
OWN: Final = 0.5
"""Mean seconds between two rotations of the set that all pods have, and of what one pod has by
each of three writers."""
SWEEP: Final = 0.06
"""Seconds that the median sweep may take: three times what is aimed at; slower says too little."""
SETTLE: Final = 60.0
SHOWN: Final = 12


def said(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def enter_namespace() -> None:
    """Replaces this process by itself in a network namespace. Raises Missing."""
    unshare, ip = need("unshare", "util-linux", said), need("ip", "iproute2", said)
    filter_ = f"{need('iptables', 'iptables', said)}-restore"
    inner = [sys.executable, str(HERE), *sys.argv[1:]]
    env = {**os.environ, INSIDE: filter_}
    os.execve(unshare, [unshare, "--net", "sh", "-c", f'{ip} link set lo up && exec "$@"', "sh", *inner], env)


class Readers:
    """The reading processes; every pod belongs to one of them."""

    def __init__(self, cluster: Cluster, pods: list[str]) -> None:
        self._outs: list[Path] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        for number in range(READERS):
            out = cluster.home.logs / f"reader-{number}.json"
            told: dict[str, Any] = {}
            for pod in pods[number::READERS]:
                secrets = {secret.name: secret.fields for secret in (SET, COMMON, own(pod))}
                told[pod] = {"mount": str(cluster.home.mounts / pod), "secrets": secrets}
            options = json.dumps({"pods": told, "out": str(out)})
            argv = bound([sys.executable, "-m", reader.__name__, options])
            self._processes.append(subprocess.Popen(argv))
            self._outs.append(out)

    def stop(self) -> list[dict[str, Any]]:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(60)
        return [json.loads(out.read_text("utf-8")) for out in self._outs]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/chaos/delivery", description="see the module")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="shorter phases")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        try:
            enter_namespace()
        except (Missing, PermissionError) as error:
            print(f"needs root, unshare, ip and iptables: {error}")
            return 1
    print(f"seed {options.seed}, {options.pods} sidecars, {os.cpu_count()} processors", flush=True)
    began = time.monotonic()
    with Cluster(os.environ[INSIDE], said) as cluster:
        wrong = campaign(cluster, options.seed, options.pods, 5.0 if options.quick else 15.0)
    for line in wrong[:SHOWN]:
        print(f"FAILED: {line}")
    if len(wrong) > SHOWN:
        print(f"... and {len(wrong) - SHOWN} more")
    print(f"{'FAILED' if wrong else 'passed'} in {time.monotonic() - began:.0f} s; --seed {options.seed} runs it again")
    return 1 if wrong else 0


def campaign(cluster: Cluster, seed: int, count: int, length: float) -> list[str]:
    """Everything; returns what was wrong."""
    pods = [f"pod-{number:03}" for number in range(count)]
    writers = make_writers(cluster, pods, seed)
    for writer in writers:
        for secret in writer.secrets:
            writer.put(secret)
    said(f"{2 + count} secrets are written, starting {count} sidecars")
    cluster.add_pods(pods)
    course = Course(cluster, seed, length, said)
    readers = Readers(cluster, pods)
    for writer in writers:
        writer.start()
    try:
        course.run()
    finally:
        for writer in writers:
            writer.stop()
    settled, rollout = roll_out(cluster, writers, pods)
    found = readers.stop()
    lags.close(course.phases, time.time())
    return judge(course, writers, found, [*settled, *died(cluster)], rollout)


def make_writers(cluster: Cluster, pods: list[str], seed: int) -> list[Writer]:
    """Each begins with another node, so that whatever happens to one of them, others are still asked. One writer a
    secret, so that its writes have an order."""
    shares = [[SET], [COMMON], *([own(pod) for pod in pods[number::3]] for number in range(3))]
    periods = [SHARED, 2 * SHARED, OWN, OWN, OWN]
    out = []
    for number, (share, period) in enumerate(zip(shares, periods, strict=True)):
        turn = number % len(cluster.names)
        nodes = cluster.names[turn:] + cluster.names[:turn]
        client = functools.partial(cluster.client, PATIENCE, nodes)
        out.append(Writer(client, share, period, seed + number))
    return out


def died(cluster: Cluster) -> list[str]:
    return [f"{name} {cluster.supervisor[name].how_it_ended()} by itself" for name in cluster.supervisor.deaths()]


def roll_out(cluster: Cluster, writers: list[Writer], pods: list[str]) -> tuple[list[str], list[str]]:
    """Until every pod says that it has the newest version of all it is granted: (what is wrong, lines to print)."""
    newest = {ack.secret: ack.version for writer in writers for ack in writer.acks}
    granted = {pod: (SET.name, COMMON.name, own(pod).name) for pod in pods}
    deadline = time.monotonic() + SETTLE
    while True:
        placed = {pod: versions for pod, (_, _, versions) in cluster.attached().items()}
        left = [
            f"{pod}: {secret} is not at version {newest[secret]} but {placed.get(pod, {}).get(secret, 'unknown')}"
            for pod, secrets in granted.items()
            for secret in secrets
            if placed.get(pod, {}).get(secret, 0) < newest[secret]
        ]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.25)
    lines = []
    for secret in (SET.name, COMMON.name):
        done = cluster.safe("rollout", "status", secret, "--wait")
        lines += done.out.splitlines()[:SHOWN]
        if done.code != 0 or f": {len(pods)} of {len(pods)} pods" not in done.out:
            left.append(f"safe rollout status {secret}: code {done.code}, {done.out[:300]}{done.err[:300]}")
    return left, lines


def judge(
    course: Course, writers: list[Writer], found: list[dict[str, Any]], problems: list[str], rollout: list[str]
) -> list[str]:
    seen = {pod: secrets for each in found for pod, secrets in each["seen"].items()}
    acks = [ack for writer in writers for ack in writer.acks]
    steady = course.phases[0]
    begun = steady.begin
    lost = lags.sort_in(course.phases, [ack for ack in acks if ack.at >= begun], seen)
    show(course.phases, found, rollout, steady)
    out = [*course.problems, *problems, *(writer.problem for writer in writers if writer.problem)]
    out += [line for writer in writers for line in miscounted(writer.acks)]
    out += [f"{each['kind']}: {each['pod']}: {each['what']}" for one in found for each in one["violations"]]
    out += [*late(course, writers[0]), *lost, *lags.verdicts(course.phases, steady)]
    for one in found:
        if one["sweep"][0] > SWEEP:
            out.append(f"a reader needed {one['sweep'][0] * 1000:.0f} ms for a sweep: too slow to tell")
        if one["discarded"] > one["sweeps"] / 100:
            out.append(f"{one['discarded']} looks were too slow to count")
    refusing = [phase for phase in course.phases if phase.refuses]
    failed = [each for writer in writers for each in writer.failed]
    said(f"{len(acks)} acknowledged writes, {len(failed)} failed, of which those without a quorum are expected")
    out += [f"a write failed: {line}" for at, line in failed if not any(p.begin <= at < p.end for p in refusing)]
    return out


def late(course: Course, writer: Writer) -> list[str]:
    """What a sidecar that started without a quorum was given must be whole, and not older than what was acknowledged."""
    files, at = course.late
    if not files:
        return []
    acked = max(ack.number for ack in writer.acks if ack.secret == SET.name and ack.at < at - 5)
    try:
        numbers = {marks.number_of(f"{SET.name}/{field}", data) for field, data in zip(SET.fields, files, strict=True)}
    except marks.Wrong as error:
        return [f"a new sidecar without quorum was given something else: {error}"]
    if len(numbers) > 1 or min(numbers) < acked:
        return [f"a new sidecar without quorum was given writes {sorted(numbers)}, {acked} was acknowledged"]
    return []


def show(phases: list[Phase], found: list[dict[str, Any]], rollout: list[str], steady: Phase) -> None:
    print(
        f"{'phase':44} {'s':>5} {'writes':>6} {'put max':>8} {'lag p99':>8} {'worst':>7} {'re-attached: n':>14}", end=""
    )
    print(f" {'p50':>6} {'worst':>6} {'limit':>6} {'stall':>6} {'reads':>9}")
    for phase in phases:
        moved = phase.attached
        middle = moved[len(moved) // 2] if moved else 0.0
        limit = f"{phase.promise + lags.allowance(steady, phase):.2f}" if phase.promise is not None else "-"
        reads = sum(reads_in(each["timeline"], phase) for each in found)
        print(
            f"{phase.name:44} {phase.end - phase.begin:5.1f} {phase.writes:6} {phase.slowest:8.3f}"
            f" {lags.p99(phase.lags):8.3f} {lags.worst(phase.lags):7.3f} {len(moved):14} {middle:6.2f}"
            f" {lags.worst(moved):6.2f} {limit:>6} {phase.stall:6.3f} {reads:9}"
        )
    for each in found:
        p50, p99, worst = (1000 * part for part in each["sweep"])
        print(f"a reader: {each['sweeps']} sweeps, {p50:.0f} ms each (p99 {p99:.0f}, worst {worst:.0f}),", end=" ")
        print(f"{each['cpu']:.0f} s of processor, {each['discarded']} looks discarded, {each['violated']} violations")
    for line in rollout:
        print(f"rollout: {line}")


def reads_in(timeline: list[list[float]], phase: Phase) -> int:
    inside = [reads for at, reads in timeline if phase.begin <= at < phase.end]
    return int(inside[-1] - inside[0]) if inside else 0


if __name__ == "__main__":
    sys.exit(main())
