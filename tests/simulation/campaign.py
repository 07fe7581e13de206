"""One seeded run: clients write and read while faults come and go; then everything heals and the history is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ambush
from history import Operation, check
from machine import get, put, version_of
from world import APPLIED, READ, World

from node.raft import install, replication
from node.store.fsm import Store

KEYS = 4
CLIENTS = 5


@dataclasses.dataclass
class Report:
    """What a run did; an idle one is rejected."""

    seed: int
    acknowledged: int
    reads: int
    digest: str
    counts: dict[str, int]


class Client:
    """Puts and gets one after the other, retrying with the same request id wherever a leader may be."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        self.campaign, self.number = campaign, number
        self.serial = 0
        self.stopped = False

    def next(self) -> None:
        world = self.campaign.world
        if self.stopped:
            return
        self.serial += 1
        key = f"k{world.rng.randrange(KEYS)}"
        kind = "put" if world.rng.random() < 0.6 else "get"
        value = f"{self.number}:{self.serial}".encode() if kind == "put" else b""
        self.operation = Operation(self.number, kind, key, value, world.now)
        self.rid = f"{self.number}-{self.serial}".encode()
        self.deadline = world.now + 4.0
        self.campaign.history.append(self.operation)
        self.attempt()

    def attempt(self) -> None:
        world, operation = self.campaign.world, self.operation
        if world.now > self.deadline:
            # The outcome stays unknown: it may take effect at any later time.
            world.at(world.rng.uniform(0.0, 0.1), self.next)
            return
        up = [n for n in world.nodes.values() if n.core is not None and not n.paused]
        leading = [n for n in up if n.core is not None and n.core.leading]
        choice = leading if leading and world.rng.random() < 0.9 else up
        if not choice:
            world.at(0.05, self.attempt)
            return
        node = world.rng.choice(choice)
        assert node.core is not None
        asked = (operation, self.rid)

        def answered(outcome: str, value: Any) -> None:
            if (self.operation, self.rid) != asked or operation.end is not None:
                return
            if outcome == APPLIED:
                self.finish(version_of(value), operation.value)
            elif outcome == READ:
                self.read_at(node, node.epoch, value)
            else:
                world.at(world.rng.uniform(0.01, 0.05), lambda: self.again(asked))

        if operation.kind == "put":
            node.core.propose(put(self.rid, operation.key, operation.value), answered)
        else:
            node.core.read(answered)
        epoch = node.epoch
        # The answer may never come (a message lost, the node cut off): ask elsewhere.
        world.at(1.0, lambda: self.again(asked))
        world.at(0.0, lambda: node.step() if node.epoch == epoch and not node.paused else None)

    def again(self, asked: Any) -> None:
        if (self.operation, self.rid) == asked and self.operation.end is None and not self.stopped:
            self.attempt()

    def read_at(self, node: Any, epoch: int, index: int) -> None:
        asked, operation = (self.operation, self.rid), self.operation
        world = self.campaign.world

        def look() -> None:
            if (self.operation, self.rid) != asked or operation.end is not None or node.epoch != epoch:
                return
            if node.core.last_applied < index:
                world.at(0.005, look)
                return
            version, value = get(node.machine, operation.key)
            self.finish(version, value)

        look()

    def finish(self, version: int, value: bytes) -> None:
        world = self.campaign.world
        self.operation.version, self.operation.value, self.operation.end = version, value, world.now
        world.at(world.rng.uniform(0.0, 0.06), self.next)


class Campaign:
    """Builds the world from the seed and drives it."""

    def __init__(self, seed: int, duration: float = 12.0, **world: Any) -> None:
        names = ["safe-0", "safe-1", "safe-2"] if seed % 3 else [f"safe-{i}" for i in range(5)]
        self.world = World(seed, names, world.pop("machine_factory", Store), **world)
        self.duration = duration
        self.base = names
        self.size = 0
        self.wiped: Any = None
        self.history: list[Operation] = []
        self.clients = [Client(self, number) for number in range(CLIENTS)]
        self.world.snapshot_bytes = self.world.rng.choice((8_000, 40_000))
        # Small pieces make many messages, and with them the moments between two of them.
        replication.BATCH_ENTRIES = self.world.rng.choice((2048, 5, 1))
        install.CHUNK = self.world.rng.choice((256 << 10, 700))
        install.WINDOW = 4 * install.CHUNK

    def run(self) -> Report:
        world = self.world
        for node in world.nodes.values():
            node.start()
        world.bootstrap(self.base)
        for client in self.clients:
            world.at(0.3, client.next)
        self.plan_faults()
        world.run(self.duration)
        self.heal()
        settled = world.run(30.0, until=self.settled)
        assert settled, f"stuck after healing: {self.describe()}"
        world.check_log_matching()
        check(self.history)
        self.final_state()
        puts = sum(1 for op in self.history if op.kind == "put" and op.end is not None)
        reads = sum(1 for op in self.history if op.kind == "get" and op.end is not None)
        assert puts >= 20 and reads >= 10, f"idle run: {puts} puts and {reads} reads prove nothing"
        return Report(world.seed, puts, reads, world.digest, dict(world.counts))

    @property
    def names(self) -> list[str]:
        return list(self.world.nodes)

    def wanted(self) -> list[Any]:
        return [self.world.nodes[name] for name in sorted(self.world.wanted_names)]

    # -- faults --------------------------------------------------------------------------------------------------
    def plan_faults(self) -> None:
        rng, world = self.world.rng, self.world
        kinds: list[Callable[[], float]] = [
            self.kill_one, self.kill_leader, self.kill_all, self.partition, self.ring, self.isolate_leader, self.one_way,
            self.pause_one, self.slow_disk, self.slow_network, self.hand_over, self.clock_jump, self.cut_links,
            self.lossy, self.wipe_one, self.two_connections, self.scale, self.stuck_disk,
            lambda: ambush.full_disk(self), lambda: ambush.leader_with_those_who_heard(self),
            lambda: ambush.after_a_promise(self), lambda: ambush.after_a_promise(self),
        ]  # fmt: skip

        def strike() -> None:
            if world.now < self.duration:
                lasting = rng.choice(kinds)()
                world.at(lasting + rng.uniform(0.05, 1.0), strike)

        world.at(rng.uniform(0.8, 1.5), strike)

    def _some(self) -> Any:
        return self.world.rng.choice(list(self.world.nodes.values()))

    def _leader_or_some(self) -> Any:
        return self.world.leader() or self._some()

    def _later(self, delay: float, action: Callable[[], None]) -> float:
        self.world.at(delay, action)
        return delay

    def kill(self, node: Any, back: float | None = None) -> float:
        if not node.up:
            return 0.0
        node.crash()
        epoch = node.epoch
        return self._later(
            self.world.rng.choice((0.05, 0.4, 1.5)) if back is None else back,
            lambda: node.start() if node.epoch == epoch and not node.up else None,
        )

    def kill_one(self) -> float:
        return self.kill(self._some())

    def kill_leader(self) -> float:
        return self.kill(self._leader_or_some())

    def kill_all(self) -> float:
        return max(self.kill(node) for node in self.world.nodes.values())

    def _cut(self, pairs: list[tuple[str, str]]) -> float:
        cut = self.world.faults.cut
        cut.update(pairs)
        return self._later(self.world.rng.uniform(0.3, 2.5), lambda: cut.difference_update(pairs))

    def partition(self) -> float:
        names = list(self.names)
        self.world.rng.shuffle(names)
        size = self.world.rng.randint(1, len(names) - 1)
        one, two = names[:size], names[size:]
        return self._cut([(a, b) for a in one for b in two] + [(b, a) for a in one for b in two])

    def ring(self) -> float:
        """Each reaches its two neighbours only; with three nodes, two of them do not reach each other."""
        names = list(self.names)
        self.world.rng.shuffle(names)
        near = set(zip(names, names[1:] if len(names) == 3 else names[1:] + names[:1], strict=False))
        return self._cut([(a, b) for a in names for b in names if a != b and not near & {(a, b), (b, a)}])

    def isolate_leader(self) -> float:
        name = self._leader_or_some().name
        rest = [n for n in self.names if n != name]
        return self._cut([(name, b) for b in rest] + [(b, name) for b in rest])

    def one_way(self) -> float:
        a, b = self.world.rng.sample(self.names, 2)
        return self._cut([(a, b)])

    def pause_one(self) -> float:
        node = self._leader_or_some() if self.world.rng.random() < 0.5 else self._some()
        node.paused = True

        def resume() -> None:
            node.paused = False

        return self._later(self.world.rng.choice((0.2, 0.6, 2.0)), resume)

    def slow_disk(self) -> float:
        node = self._some()
        node.disk_delay = self.world.rng.choice((0.02, 0.2, 1.5))

        def recover() -> None:
            node.disk_delay = 0.001

        return self._later(self.world.rng.uniform(0.5, 3.0), recover)

    def slow_network(self) -> float:
        delay = self.world.faults.delay
        a, b = self.world.rng.sample(self.names, 2)
        delay[a, b] = self.world.rng.choice((0.02, 0.1, 0.4))
        return self._later(self.world.rng.uniform(0.3, 2.0), lambda: delay.pop((a, b), None) and None)

    def hand_over(self) -> float:
        node = self.world.leader()
        if node is not None and node.core is not None:
            node.core.transfer_leadership()
        return 0.1

    def clock_jump(self) -> float:
        node = self._some()
        before = node.clock.now()
        node.clock.rate = self.world.rng.uniform(0.9, 1.1)
        node.clock.offset += before - node.clock.now() + self.world.rng.choice((0.0, 0.3, 5.0))
        return 0.1

    def cut_links(self) -> float:
        """Connections are reset: what was in flight is lost, both ends see it."""
        world = self.world
        name = self._leader_or_some().name
        for other in self.names:
            if other != name and world._links.get((name, other)):
                world.close_link(name, other, tell_b=world.rng.uniform(0, 0.02), tell_a=world.rng.uniform(0, 0.02))
        return 0.1

    def lossy(self) -> float:
        self.world.faults.loss = self.world.rng.choice((0.01, 0.1))

        def recover() -> None:
            self.world.faults.loss = 0.0

        return self._later(self.world.rng.uniform(0.3, 1.5), recover)

    def two_connections(self) -> float:
        """Messages come twice and overtake each other, as over an old and a new connection at once."""
        faults = self.world.faults
        faults.duplicate, faults.reorder = self.world.rng.choice(((0.2, 0.0), (0.0, 0.2), (0.1, 0.1)))

        def recover() -> None:
            faults.duplicate = faults.reorder = 0.0

        return self._later(self.world.rng.uniform(0.3, 1.5), recover)

    def stuck_disk(self) -> float:
        """A disk that does not answer at all for longer than a leader may wait for it."""
        node = self._leader_or_some()
        node.disk_delay = 2.0

        def recover() -> None:
            node.disk_delay = 0.001

        return self._later(0.5, recover)

    def scale(self) -> float:
        """3 -> 5 -> 3 pods while all else goes on. Pods that are scaled away go at once or after a moment."""
        world = self.world
        if len(self.base) != 3:
            return 0.1
        if len(world.wanted_names) == 5 and not self.replaced():
            return 0.1  # two pods less and a disk gone are three votes of five: a majority lost for good
        more = ["safe-3", "safe-4"]
        if len(world.wanted_names) == 3:
            world.wanted_names = frozenset(self.base + more)
            for name in more:
                (world.nodes.get(name) or world.add(name)).start()
        else:
            world.wanted_names = frozenset(self.base)
            for name in more:
                world.at(world.rng.choice((0.0, 1.5)), world.nodes[name].crash)
        self.size = len(world.wanted_names)
        self.resize(self.size)
        world.counts["scaled"] = world.counts.get("scaled", 0) + 1
        return 1.0

    def resize(self, size: int) -> None:
        """The controller: asks whoever leads until the log has decided."""
        if size != self.size:
            return
        leader = self.world.leader()

        def answered(outcome: str, value: Any) -> None:
            if outcome != APPLIED:
                self.world.at(0.2, lambda: self.resize(size))

        if leader is None or leader.core is None:
            self.world.at(0.2, lambda: self.resize(size))
        else:
            leader.core.resize(size, answered)
            # The answer may get lost with the leader.
            self.world.at(2.0, lambda: self.resize(size) if not self.decided(size) else None)

    def decided(self, size: int) -> bool:
        leader = self.world.leader()
        return leader is not None and leader.core is not None and leader.core.config.size == size

    def wipe_one(self) -> float:
        """A volume is lost for good: only while every other voter is up, as no cluster survives losing a majority."""
        world = self.world
        node = world.rng.choice(self.wanted())
        config = next((n.core.config for n in world.nodes.values() if n.core is not None and n.core.leading), None)
        others = [n for n in self.wanted() if n is not node]
        if config is None or not all(n.up for n in others) or self.wiped_recently(config):
            return 0.1
        node.crash()
        node.new_disk()
        self.wiped = node
        world.counts["wiped"] = world.counts.get("wiped", 0) + 1
        return self._later(0.3, lambda: node.start() if not node.up else None)

    def wiped_recently(self, config: Any) -> bool:
        """The previous replacement must be complete: every current disk is a voter and committed as such."""
        leader = self.world.leader()
        if leader is None or leader.core is None or leader.core.config_index > leader.core.commit_index:
            return True
        return not all(n.up for n in self.wanted()) or {n.member for n in self.wanted()} != set(config.voters)

    def replaced(self) -> bool:
        """The disk last wiped among those that stay has its vote again, committed."""
        if self.wiped is None or self.wiped.name not in self.base:
            return True
        cores = [node.core for node in self.world.nodes.values() if node.core is not None]
        return any(core.config_index <= core.commit_index and self.wiped.member in core.config.voters for core in cores)

    # -- the end -------------------------------------------------------------------------------------------------
    def heal(self) -> None:
        world = self.world
        world.faults.cut.clear()
        world.faults.delay.clear()
        world.faults.loss = world.faults.duplicate = world.faults.reorder = 0.0
        world.ambush = None
        for client in self.clients:
            client.stopped = True
        for node in world.nodes.values():
            node.paused = node.full = False
            node.disk_delay = 0.001
        for node in self.wanted():
            node.start()

    def settled(self) -> bool:
        """One leader, everyone a voter of its configuration, every log applied to the same end."""
        cores = [node.core for node in self.wanted()]
        leader = self.world.leader()
        if leader is None or leader.core is None or any(core is None for core in cores):
            return False
        end = leader.core.log.last_index
        voters = {node.member for node in self.wanted()}
        return (
            leader.core.config.size == self.size
            and set(leader.core.config.voters) == voters
            and all(core is not None and core.last_applied == end and core.term == leader.core.term for core in cores)
        )

    def final_state(self) -> None:
        """All nodes hold the same map, and every acknowledged write is in it or under a newer one."""
        machines = [node.machine for node in self.wanted()]
        for key in range(KEYS):
            found = {get(machine, f"k{key}") for machine in machines}
            assert len(found) == 1, f"nodes disagree on k{key}: {found}"
            version = found.pop()[0]
            newest = max((op.version or 0 for op in self.history if op.key == f"k{key}" and op.end), default=0)
            assert version >= newest, f"k{key} ends at version {version}, acknowledged was {newest}"
        snapshots = {b"".join(machine.capture()) for machine in machines}
        assert len(snapshots) == 1, "states differ"

    def describe(self) -> list[str]:
        out = []
        for node in self.world.nodes.values():
            core = node.core
            if core is None:
                out.append(f"{node.name} down")
            else:
                out.append(
                    f"{core.member} {core.state_name} term {core.term} leader {core.leader} commit {core.commit_index} "
                    f"applied {core.last_applied} log {core.log.base_index}..{core.log.last_index} durable "
                    f"{core.log.durable_index} busy {node.busy} connected {sorted(core.connected)} config {core.config}"
                )
        return out
