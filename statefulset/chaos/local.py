"""The run on this machine: nodes and sidecars as processes of a private `safe dev`, killed by the plan.

Why it exists: the judge and every promise are tried without a cluster. What it refuses to do: touch a `safe dev` that
somebody else is running, or leave a process behind.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from statefulset.chaos import load, reader
from statefulset.chaos.pace import paced
from statefulset.chaos.plan import Kill, Wanted
from statefulset.chaos.tally import Tally, documents, tallies
from statefulset.chaos.verdict import Run
from statefulset.chaos.writer import PATIENCE, made, versions
from statefulset.cli.dev import programs
from statefulset.cli.dev.harness import DevCluster, Options
from statefulset.cli.dev.processes import bound

NAMESPACE: Final = "demo"
AWAY: Final = 1.0
"""Seconds that a killed process stays away: a kubelet takes about that long to start a container again."""
BACK: Final = 60.0
"""Seconds until a killed node must be ready again."""
SETTLE: Final = 60.0


def run(wanted: Wanted, said: Callable[[str], None]) -> Run:
    """From start to clean-up. Raises DevError when the cluster does not start."""
    cluster = DevCluster(Options(wanted.nodes, wanted.workloads, port=0, private=True, restart=False), said)
    try:
        cluster.start()
        found = _Local(cluster, wanted, said).run()
    finally:
        left = cluster.stop()
    found.problems += [f"left behind: {place}" for place in left]
    return found


class _Local:
    def __init__(self, cluster: DevCluster, wanted: Wanted, said: Callable[[str], None]) -> None:
        self._cluster, self._wanted, self._said = cluster, wanted, said
        self._log = cluster.home.logs / "reader.log"
        shares = load.shares(NAMESPACE, tuple(cluster.workloads))
        self._writers = made(shares, cluster.names, functools.partial(cluster.client, PATIENCE), wanted.seed)
        self._run = Run(wanted.seed, time.time(), quorum=wanted.minority)

    def run(self) -> Run:
        kills = self._wanted.kills()
        self._run.planned = len(kills)
        for writer in self._writers:
            for secret in writer.secrets:
                writer.put(secret)
        reading = self._start_reader()
        try:
            self._run.began = time.time()
            self._write_and_kill(kills)
            self._run.ended = time.time()
            self._collect()
            self._settle(reading)
        finally:
            reading.kill()
            reading.wait()
        return self._run

    def _write_and_kill(self, kills: tuple[Kill, ...]) -> None:
        for writer in self._writers:
            writer.start()
        try:
            for kill in paced(kills, self._wanted.duration):
                self._kill(kill)
        finally:
            for writer in self._writers:
                writer.stop()

    def _start_reader(self) -> subprocess.Popen[bytes]:
        """Not a child of the supervisor, which keeps logs short; the kernel ends it with this thread at the latest."""
        told: dict[str, Any] = {}
        for name, workload in self._cluster.workloads.items():
            secrets = {secret.name: secret.fields for secret in load.of_pod(NAMESPACE, name)}
            told[name] = {"mount": str(workload.mount), "secrets": secrets}
        argv = bound([sys.executable, "-m", reader.__name__, json.dumps({"pods": told})])
        with self._log.open("wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, env=programs.clean(os.environ))

    # -- killing -----------------------------------------------------------------------------------------------------

    def _kill(self, kill: Kill) -> None:
        number = signal.SIGKILL if self._wanted.force else signal.SIGTERM
        self._said(f"{number.name} to {', '.join(kill.pods)}{', and its disk' if self._wanted.wipe else ''}")
        self._run.kills.append((time.time(), kill.pods))
        for name in kill.pods:
            self._cluster.node(name).wanted = False
        for name in kill.pods:
            self._cluster.node(name).signal(number)
        for name in kill.pods:
            self._cluster.supervisor.end(name, number)
            if self._wanted.wipe:
                shutil.rmtree(self._cluster.home.node_data(name))
        time.sleep(AWAY)
        self._cluster.again(*kill.pods)
        self._cluster.wait_ready(self._cluster.names, BACK)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        found = self._run
        for writer in self._writers:
            found.acks += writer.acks
            found.failed += writer.failed
            found.tried |= writer.numbers
            if writer.problem:
                found.problems.append(f"a writer ended: {writer.problem}")
        found.problems += [
            f"{name} {self._cluster.supervisor[name].how_it_ended()} by itself"
            for name in self._cluster.supervisor.deaths()
        ]
        with self._cluster.client(PATIENCE) as client:
            found.final = dict(versions(client, found.tried))

    def _settle(self, reading: subprocess.Popen[bytes]) -> None:
        """Until every pod shows the last acknowledged write of each secret, or time is up; then the reader ends."""
        newest = {ack.secret: ack.number for ack in self._run.acks}
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline and not all(each.has(newest) for each in self._tallies().values()):
            time.sleep(0.5)
        if reading.poll() is not None:
            self._run.problems.append(f"the reader ended by itself with code {reading.returncode}")
        reading.terminate()
        reading.wait(BACK)
        self._run.tallies = self._tallies()

    def _tallies(self) -> dict[str, Tally]:
        return tallies(documents(self._log.read_text("utf-8")))
