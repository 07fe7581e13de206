"""One process, many nodes: virtual time, a faulty network and crashing disks around the real raft core and store.

Every choice comes from one seeded generator, events are ordered by (time, sequence number), nothing reads a clock: the
same seed gives the same run, byte for byte (`World.trace` hashes every message and every durable batch).
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import random
from collections.abc import Callable
from typing import Any

from disk import MemoryFiles, MemorySnapshots, PlainKeys

from node.errors import Fatal
from node.raft import codec, core, steward
from node.raft.core import Core
from node.raft.frame import APPLIED, READ
from node.raft.membership import name_of
from node.raft.ports import Timing
from node.raft.recover import align
from node.raft.wal import FULL_DISK_PAUSE, Wal

TICK = 0.025
# Steps between two comparisons of all logs: every one would cost more than the rest of a run.
MATCH_EVERY = 100
# Entries kept below a snapshot: few, so that snapshots are taken and installed often.
core.TRAIL = TRAIL = 20


class NodeClock:
    """A node's own idea of monotonic time: it may run fast or slow and be stalled, never backwards."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rate = 1.0
        self.offset = 0.0

    def now(self) -> float:
        return self.world.now * self.rate + self.offset

    def uniform(self, low: float, high: float) -> float:
        return self.world.rng.uniform(low, high)


@dataclasses.dataclass
class Faults:
    """What the network does to a pair of nodes, by (from, to)."""

    cut: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    delay: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    loss: float = 0.0
    # Chance that a message is delivered twice, and that it overtakes others: what two connections of one pair, one
    # dying and one new, may do.
    duplicate: float = 0.0
    reorder: float = 0.0


class SimNode:
    """A pod: its disk outlives it, its core does not."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.clock = NodeClock(world)
        self.core: Core | None = None
        self.epoch = 0  # of the process: events of an earlier life are ignored
        self.paused = False
        self.disk_delay = 0.001
        self.full = False
        self.seen = (0, 0, 0)  # epoch, term and commit index after the latest step
        self.generation = 0
        # The highest term this disk has promised to remember, and the vote in it.
        self.best_hard: tuple[int, Any] = (0, None)
        self.new_disk()

    def new_disk(self) -> None:
        self.generation += 1
        self.files = MemoryFiles(self.world.rng)
        self.files.honest_sync = self.world.honest_sync
        self.snapshots = MemorySnapshots()
        self.best_hard = (0, None)

    def promise(self, term: int, vote: Any = None) -> None:
        """The term, and the vote in it if known, were told to somebody or are on the disk."""
        known, voted = self.best_hard
        if term > known or (term == known and voted is None):
            self.best_hard = (term, vote)

    @property
    def up(self) -> bool:
        return self.core is not None

    # -- life ----------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Read the disk back and run. A node that runs already goes on."""
        world = self.world
        if self.core is not None:
            return
        self.epoch += 1
        self.machine = world.machine_factory()
        wal = Wal(self.files, PlainKeys(world.rng), segment_bytes=world.segment_bytes)
        log = wal.load(f"{self.name}.{self.generation:04d}")
        self.snapshots.load(self.machine)
        align(log, self.snapshots)
        timing = Timing(0.05, 0.25, 0.5, 1.0)
        self.core = world.core_factory(wal.member, log, self.machine, self.snapshots, self.clock, timing)
        self.core.snapshot_bytes = world.snapshot_bytes
        self.wal, self.busy, self.stewarded = wal, False, 0.0
        self._snapshots_until = 0.0
        self._known: dict[str, int] = {}
        self.member = wal.member
        world.check_restart(self)
        self._schedule_tick()
        for other in world.nodes.values():
            if other is not self:
                world.redial(self.name, other.name)

    def crash(self) -> None:
        """kill -9 and power loss at once: unsynced bytes are gone, a write in flight may be torn."""
        if self.core is None:
            return
        world = self.world
        if self.busy and world.rng.random() < 0.5:
            # The batch that was at the disk reaches the cache in part or in whole.
            data = self._inflight_bytes
            handle = self.wal._handle
            self.files.write(handle, data[: world.rng.randint(0, len(data))], self.wal._size)
        for token in self._tokens():
            world.answer(token, "lost", None)
        self.core, self.busy = None, False
        self.epoch += 1
        self.files.crash()
        self.snapshots.crash()
        world.network_down(self.name)

    def _tokens(self) -> list[Any]:
        core = self.core
        assert core is not None
        out = [token for _, token in core.waiters.values()] + [token for _, token in core.proposals] + core.waiting
        for _, _, tokens in core.rounds:
            out += tokens
        return [token for token in out if token is not None]

    # -- the driver ----------------------------------------------------------------------------------------------
    def _schedule_tick(self) -> None:
        epoch = self.epoch

        def tick() -> None:
            if self.epoch == epoch:
                if not self.paused:
                    self._steward()
                    self.step()
                self._schedule_tick()

        self.world.at(TICK, tick)

    def _steward(self) -> None:
        core = self.core
        assert core is not None
        world, now = self.world, self.clock.now()
        if now - self.stewarded < 0.5:
            return
        self.stewarded = now
        for member in sorted(core.connected):
            if core.refuses(name_of(member), world.configured, self._known.get(member, 0)):
                world.counts["put out"] = world.counts.get("put out", 0) + 1
                world.close_link(self.name, name_of(member), tell_b=0.001, tell_a=0.0)
        if steward.act(core, world.configured) is not None:
            world.counts["membership"] += 1

    def receive(self, sender: str, message: dict[str, Any]) -> None:
        assert self.core is not None
        self.core.receive(sender, message)
        self.step()

    def step(self) -> None:
        core, world = self.core, self.world
        if core is None:
            return
        while True:
            core.tick()
            ready = core.take_ready(disk_free=not self.busy)
            if ready.ops:
                self._to_disk(ready.ops, ready.lsn)
            for member, message in ready.messages:
                world.send(self, member, message)
            for token, outcome, value in ready.completions:
                world.answer(token, outcome, value)
            if ready.capture is not None:
                self._capture(ready.capture)
            if ready.install is not None:
                self._install(ready.install)
            world.after_step(self)
            if not core.more_to_do:
                return
            if world.rng.random() < 0.5:
                self._step_later()
                return

    def _step_later(self) -> None:
        """The driver comes back with the next turn of its loop; others may be heard before that."""
        epoch = self.epoch
        self.world.at(0.0, lambda: self.step() if self.epoch == epoch and not self.paused else None)

    def _to_disk(self, ops: list[Any], lsn: int) -> None:
        from node.raft import walformat

        self.busy = True
        world, epoch = self.world, self.epoch
        assert self.wal._cipher is not None
        self._inflight_bytes = walformat.record(self.wal._cipher, self.wal._records, ops)

        def done() -> None:
            if self.epoch != epoch or self.core is None:
                return
            if self.full:
                # As Wal._write: cut back to the last good byte and try again.
                world.at(FULL_DISK_PAUSE, done)
                return
            self.wal.append(ops)
            world.trace(b"disk", self.name, len(ops), lsn)
            self.busy = False
            self.core.durable(lsn)
            if not self.paused:
                self.step()

        world.at(self.disk_delay * world.rng.uniform(0.5, 2.0), done)

    def _in_snapshot_thread(self, work: Callable[[], None]) -> None:
        """One after the other, in the order asked for, as the driver's one thread does it."""
        begin = max(self.world.now, self._snapshots_until)
        self._snapshots_until = begin + self.world.rng.uniform(0.001, 0.05)
        self.world.at(self._snapshots_until - self.world.now, work)

    def _capture(self, meta: Any) -> None:
        chunks = list(self.machine.capture())
        epoch = self.epoch

        def drop(index: int) -> None:
            if self.epoch == epoch:
                self.wal.drop_below(index)

        def done() -> None:
            if self.epoch != epoch or self.core is None:
                return
            if self.full:
                self.core.snapshotting = False
                return
            written = self.snapshots.save(meta, chunks)
            self.core.snapshot_saved(written, TRAIL)
            # The real driver does this in another thread, later: a crash may come between.
            index = self.core.log.base_index
            self.world.at(self.world.rng.uniform(0.0, 0.02), lambda: drop(index))
            self.world.counts["snapshots"] += 1

        self._in_snapshot_thread(done)

    def _install(self, meta: Any) -> None:
        epoch = self.epoch

        def done() -> None:
            if self.epoch == epoch and self.core is not None:
                if self.full:
                    self.core.install_failed()
                    return
                state = self.snapshots.finish(meta, self.machine)
                self.core.installed(meta, state)
                self.world.counts["installs"] += 1
                if not self.paused:
                    self.step()

        self._in_snapshot_thread(done)


class World:
    """Nodes, network, clients' requests, and the checks after every step."""

    def __init__(
        self,
        seed: int,
        names: list[str],
        machine_factory: Callable[[], Any],
        *,
        core_factory: Callable[..., Core] = Core,
        honest_sync: bool = True,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = 0.0
        self.machine_factory = machine_factory
        self.core_factory = core_factory
        self.honest_sync = honest_sync
        self.segment_bytes = 4096
        self.snapshot_bytes = 6_000
        # SAFE_PEERS of every pod, also of those that come later; and the pods there are to be.
        self.configured = frozenset(names)
        self.wanted_names = frozenset(names)
        self.faults = Faults()
        # Told of every message that leaves a node: a fault that waits for its moment.
        self.ambush: Callable[[SimNode, dict[str, Any]], None] | None = None
        self.counts: dict[str, int] = {"membership": 0, "snapshots": 0, "installs": 0, "messages": 0, "steps": 0}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._hash = hashlib.sha256()
        self._links: dict[tuple[str, str], int] = {}  # generation of the connection from a to b, 0 when down
        self._link_serial = 0
        self._fifo: dict[tuple[str, str], float] = {}
        self.leaders: dict[int, str] = {}
        self.committed: dict[int, tuple[int, bytes]] = {}
        self.nodes = {name: SimNode(self, name) for name in names}

    def add(self, name: str) -> SimNode:
        """A pod that was not there before, with a blank disk; not started."""
        self.nodes[name] = SimNode(self, name)
        return self.nodes[name]

    # -- time ----------------------------------------------------------------------------------------------------
    def at(self, delay: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + delay, self._sequence, action))

    def run(self, duration: float, until: Callable[[], bool] | None = None) -> bool:
        end = self.now + duration
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
            if until is not None and until():
                return True
        self.now = end
        return until is not None and until()

    def trace(self, *parts: Any) -> None:
        self._hash.update(repr((round(self.now, 9), *parts)).encode())

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def bootstrap(self, names: list[str]) -> None:
        voters = tuple(self.nodes[name].member for name in names)
        for name in names:
            core = self.nodes[name].core
            assert core is not None
            core.bootstrap(voters)

    # -- network -------------------------------------------------------------------------------------------------
    def redial(self, a: str, b: str) -> None:
        """Establish the connection of a pair when both live and neither direction is cut; else try again."""
        self.at(self.rng.uniform(0.005, 0.1), lambda: self._dial(a, b))

    def _dial(self, a: str, b: str) -> None:
        one, two = self.nodes[a], self.nodes[b]
        if not (one.up and two.up) or self._links.get((a, b)):
            return
        if (a, b) in self.faults.cut or (b, a) in self.faults.cut or one.paused or two.paused:
            self.redial(a, b)
            return
        assert one.core is not None and two.core is not None
        if any(
            here.core.refuses(there.name, self.configured, there.core.config_index)
            for here, there in ((one, two), (two, one))
            if here.core is not None and there.core is not None
        ):
            self.counts["refused at the door"] = self.counts.get("refused at the door", 0) + 1
            self.at(0.5, lambda: self._dial(a, b))
            return
        one._known[two.member], two._known[one.member] = two.core.config_index, one.core.config_index
        self._link_serial += 1
        self._links[a, b] = self._links[b, a] = self._link_serial
        one.core.peer_connected(two.member)
        two.core.peer_connected(one.member)
        one.step()
        two.step()

    def network_down(self, name: str) -> None:
        """A process died: its kernel closes its connections; reachable ends see it at once, others when silent."""
        for other in self.nodes:
            if other != name and self._links.get((name, other)):
                heard = (name, other) not in self.faults.cut
                self.close_link(name, other, tell_b=0.001 if heard else 3.0)

    def close_link(self, a: str, b: str, tell_b: float, tell_a: float | None = None) -> None:
        self._links[a, b] = self._links[b, a] = 0
        member_a, member_b = self.nodes[a].member, self.nodes[b].member

        def tell(node: SimNode, epoch: int, member: str) -> None:
            if node.epoch == epoch and node.core is not None and not self._links.get((a, b)):
                node.core.peer_disconnected(member)
                node.step()

        one, two = self.nodes[a], self.nodes[b]
        two_epoch, one_epoch = two.epoch, one.epoch
        self.at(tell_b, lambda: tell(two, two_epoch, member_a))
        if tell_a is not None:
            self.at(tell_a, lambda: tell(one, one_epoch, member_b))
        self.redial(a, b)

    def send(self, sender: SimNode, member: str, message: dict[str, Any]) -> None:
        to = name_of(member)
        self._note_promise(sender, member, message)
        if self.ambush is not None:
            self.ambush(sender, message)
        link = self._links.get((sender.name, to), 0)
        if not link or self.nodes[to].member != member:
            return
        pair = (sender.name, to)
        if pair in self.faults.cut or self.rng.random() < self.faults.loss:
            return
        data = codec.pack(message)
        base = self.faults.delay.get(pair, 0.0005)
        arrival = self.now + base * self.rng.uniform(0.5, 3.0)
        if self.rng.random() < self.faults.reorder:
            arrival += self.rng.uniform(0.0, 0.1)
        else:
            arrival = self._fifo[pair] = max(arrival, self._fifo.get(pair, 0.0) + 1e-7)
        self.counts["messages"] += 1
        target, source = self.nodes[to], sender.member
        epoch = target.epoch

        def deliver() -> None:
            if target.epoch != epoch or target.core is None or self._links.get(pair) != link:
                return
            if target.paused:
                self.at(0.01, deliver)
                return
            self.trace(source, member, message["type"], len(data))
            target.receive(source, codec.unpack(data))

        self.at(arrival - self.now, deliver)
        if self.rng.random() < self.faults.duplicate:
            self.at(arrival - self.now + self.rng.uniform(0.0, 0.05), deliver)

    @staticmethod
    def _note_promise(sender: SimNode, member: str, message: dict[str, Any]) -> None:
        """Whoever was told of a term or a vote may rely on it, so the sender's disk must remember it."""
        kind = message["type"]
        if kind == "request_vote":
            sender.promise(message["term"], sender.member)
        elif kind == "vote_response" and message["granted"]:
            sender.promise(message["term"], member)
        elif not kind.startswith("pre_vote"):
            sender.promise(message["current"] if "current" in message else message["term"])

    # -- requests ------------------------------------------------------------------------------------------------
    def answer(self, token: Any, outcome: str, value: Any) -> None:
        token(outcome, value)

    # -- invariants ----------------------------------------------------------------------------------------------
    def check_restart(self, node: SimNode) -> None:
        core = node.core
        assert core is not None
        term, vote = node.best_hard
        assert core.term >= term, f"{node.name} went back from term {term} to {core.term}"
        if core.term == term and vote is not None:
            assert core.voted_for == vote, f"{node.name} forgot its vote for {vote} in term {term}"

    def after_step(self, node: SimNode) -> None:
        """At most one leader a term; what is committed never changes; applied prefixes are equal; a promise that was
        sent is on the disk."""
        core = node.core
        assert core is not None
        self.counts["steps"] += 1
        if core.leading:
            known = self.leaders.setdefault(core.term, core.member)
            assert known == core.member, f"two leaders in term {core.term}: {known} and {core.member}"
        if self.counts["steps"] % MATCH_EVERY == 0:
            self.check_log_matching()
        epoch, term, commit = node.seen
        if epoch == node.epoch:
            assert core.term >= term and core.commit_index >= commit, f"{node.name}: term or commit index went back"
        node.seen = (node.epoch, core.term, core.commit_index)
        log = core.log
        if log.durable_lsn >= log.hard_lsn:
            node.promise(core.term, core.voted_for)
        assert core.last_applied <= core.commit_index <= log.last_index, (
            f"{node.name}: applied {core.last_applied} commit {core.commit_index} last {log.last_index}"
        )
        done = getattr(node, "_checked", (0, 0))
        start = done[1] if done[0] == node.epoch else 0
        for data, index, term in log.slice(
            max(start, log.base_index) + 1, core.commit_index - max(start, log.base_index)
        ):
            known = self.committed.setdefault(index, (term, data))
            assert known == (term, data), f"{node.name}: committed entry {index} changed from term {known[0]} to {term}"
        node._checked = (node.epoch, core.commit_index)  # type: ignore[attr-defined]

    def check_log_matching(self) -> None:
        """Two logs with the same term at an index are equal up to it (sampled over all pairs)."""
        live = [node.core.log for node in self.nodes.values() if node.core is not None]
        for position, one in enumerate(live):
            for two in live[position + 1 :]:
                low = max(one.base_index, two.base_index) + 1
                index = min(one.last_index, two.last_index)
                while index >= low and one.term_at(index) != two.term_at(index):
                    index -= 1
                if index >= low:
                    count = index - low + 1
                    assert one.slice(low, count) == two.slice(low, count), "log matching broken"

    def leader(self) -> SimNode | None:
        found = [n for n in self.nodes.values() if n.core is not None and not n.paused and n.core.leading]
        return max(found, key=lambda n: n.core.term) if found else None  # type: ignore[union-attr]


__all__ = ["APPLIED", "READ", "Fatal", "SimNode", "World"]
