"""What is done to the nodes, in which order, while the writers and readers go on.

Why it exists: one seed says which node is first and how long each thing lasts; the rest is the same at every run.
What it refuses to do: judge. It notes when each phase began and what was promised for it.
"""

from __future__ import annotations

import collections
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from pods import SET, Cluster, sidecar_status

from statefulset.chaos.lags import Phase
from statefulset.cli.errors import CliError

BEFORE: Final = 0.3
"""Seconds by which a phase begins before its event: a write that is under way then belongs to it."""
CRASH: Final = 1.0
SILENT: Final = 3.0
PLANNED: Final = 1.0
"""Seconds that G3 grants."""
FROZEN: Final = 10.0
ATTACH: Final = 30.0
"""Seconds after which a sidecar that is not attached again counts as lost."""
TICK: Final = 0.02


class Stalls(threading.Thread):
    """How long a process that wants to do nothing but wake up every 20 ms is kept waiting."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0

    def run(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(TICK)
            self.worst = max(self.worst, time.monotonic() - began - TICK)

    def take(self) -> float:
        found, self.worst = self.worst, 0.0
        return found


class Course:
    """`phases` and `problems` grow. `length`: seconds of a quiet phase."""

    def __init__(self, cluster: Cluster, seed: int, length: float, said: Callable[[str], None]) -> None:
        self.phases: list[Phase] = []
        self.problems: list[str] = []
        self.said = said
        self._cluster, self._length = cluster, length
        self._rng = random.Random(seed)
        self._stalls = Stalls()
        self._stalls.start()

    def run(self) -> None:
        cluster, order = self._cluster, list(self._cluster.names)
        self._rng.shuffle(order)
        self.phase("steady", None, 10)
        self._rest(2)
        self._freeze(cluster.leader())  # first, while each node has its third of the sidecars
        left = list(order)
        while left:  # each once; the fullest of those left, so that nobody is killed who has no sidecars to lose
            held = self._held()
            left.sort(key=lambda name: held[name])
            self._kill(left.pop())
        self._roll(order)
        self._lose_quorum(order)
        self._cut()
        self.phase("end", None)

    def phase(self, name: str, promise: float | None, least: int = 0) -> Phase:
        if self.phases:
            self.phases[-1].stall = self._stalls.take()
        self.phases.append(Phase(name, time.time(), promise, least))
        self.said(name)
        return self.phases[-1]

    def _rest(self, times: float = 1.0) -> None:
        time.sleep(self._length * times * self._rng.uniform(0.9, 1.1))

    def _event(self, name: str, promise: float, victim: str, event: Callable[[], float]) -> None:
        """A phase in which `victim` goes away, and how long each of its sidecars had no stream."""
        held = [pod for pod, (node, _, _) in self._cluster.attached().items() if node == victim]
        others = [each for each in self._cluster.names if each != victim]
        phase = self.phase(name, promise, 3)
        time.sleep(BEFORE)
        at = event()
        deadline = time.monotonic() + ATTACH
        left = set(held)
        while left and time.monotonic() < deadline:
            time.sleep(0.5)
            for pod, (_, since, _) in self._cluster.attached(others).items():
                if pod in left and since >= at - 0.05:
                    left.discard(pod)
                    phase.attached.append(max(0.0, since - at))
        if left:
            self.problems.append(f"{name}: {len(left)} of {len(held)} sidecars were not attached within {ATTACH:g} s")
        if not held:
            self.problems.append(f"{name}: {victim} had no sidecars to lose")
        self._rest()

    def _held(self) -> collections.Counter[str]:
        """Sidecars of each node."""
        return collections.Counter(node for node, _, _ in self._cluster.attached().values())

    def _role(self, name: str) -> str:
        return "leader" if name == self._cluster.leader() else "follower"

    def _back(self, name: str, *nodes: str) -> None:
        self.phase(name, PLANNED, 3)
        self._cluster.again(*nodes)
        self._cluster.wait_ready(nodes)
        self._cluster.settle()
        self._rest()

    def _kill(self, name: str) -> None:
        def event() -> float:
            at = time.time()
            self._cluster.kill(name)
            return at

        self._event(f"kill -9 of {name} ({self._role(name)})", CRASH, name, event)
        self._back(f"{name} is back", name)

    def _freeze(self, name: str) -> None:
        def event() -> float:
            self._cluster.node(name).signal(signal.SIGSTOP)
            return time.time()

        began = time.monotonic()
        try:
            self._event(f"SIGSTOP of {name} (leader) for {FROZEN:g} s", SILENT, name, event)
            time.sleep(max(0.0, began + BEFORE + FROZEN - time.monotonic()))
        finally:
            self._cluster.node(name).signal(signal.SIGCONT)
        self.phase(f"SIGCONT of {name}", PLANNED, 3)
        self._rest()

    def _roll(self, order: list[str]) -> None:
        self.phase("rolling restart, SIGTERM one by one", PLANNED, 10)
        for name in order:
            self._cluster.supervisor.end(name, signal.SIGTERM)
            self._cluster.again(name)
            self._cluster.wait_ready([name])
            self._cluster.settle()
            self._rest(0.5)

    def _lose_quorum(self, order: list[str]) -> None:
        survivor, *others = order
        self.phase(f"quorum lost: only {survivor} left", None).refuses = True
        for name in others:
            self._cluster.kill(name)
        self._serves_alone(survivor)
        self._back("quorum back", *others)
        self.phases[-1].refuses = True

    def _serves_alone(self, survivor: str) -> None:
        """Every sidecar is served by the one node and knows that it is stale; a new one gets what was acknowledged; a
        write is refused clearly."""
        workloads = self._cluster.workloads.values()
        deadline = time.monotonic() + ATTACH
        left = list(workloads)
        while left and time.monotonic() < deadline:
            time.sleep(0.5)
            statuses = [(each, sidecar_status(each)) for each in left]
            left = [each for each, status in statuses if not (status.get("connected") and status.get("stale"))]
        if left:
            self.problems.append(
                f"without quorum {len(left)} sidecars are not served, or are not told that it is stale"
            )
        self._new_sidecar()
        try:
            with self._cluster.client(3.0, [survivor]) as client:
                client.change("PUT", "/v1/secrets/demo/refused", body={"fields": {"value": "bm8="}, "grants": []})
            self.problems.append("a write was acknowledged without a quorum")
        except CliError as error:
            if error.exit_code != 3 or error.code not in ("no_quorum", "unavailable"):
                self.problems.append(f"without quorum a write is refused with {error.code}: {error}")
            self.said(f"a write without quorum: {error} ({error.code})")

    def _new_sidecar(self) -> None:
        cluster = self._cluster
        target = cluster.home.mount("late")
        token = cluster.issuer.token("demo", "late", audience="raftsafe", pod="late", lifetime=600)
        done = cluster.init_sidecar("late", token, target, want=[SET.name], deadline=30.0)
        files = [target / "set" / field for field in SET.fields]
        if done.code != 0 or not all(file.is_file() for file in files):
            self.problems.append(f"without quorum a new sidecar got nothing: code {done.code}, {done.err[-300:]}")
            return
        self.late = [file.read_bytes() for file in files], time.time()

    late: tuple[list[bytes], float] = ([], 0.0)
    """What a sidecar that was started without a quorum was given, and when."""

    def _cut(self) -> None:
        """The leader if it has sidecars, else the node that has the most."""
        held = self._held()
        leader = self._cluster.leader()
        name = leader if held[leader] else held.most_common(1)[0][0]
        what = f"{name} ({self._role(name)}) cut off, packets dropped"
        try:
            self._event(what, SILENT, name, lambda: self._cluster.cut(name))
        finally:
            self._cluster.mend()
        self.phase("mended", PLANNED, 3)
        self._cluster.wait_ready(self._cluster.names)
        self._rest()
