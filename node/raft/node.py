"""The driver: carries out what the core decides, on asyncio, with a real disk and real peers.

Why it exists: exactly one thread touches Raft. Events (a message, a proposal, a finished write, a timer) are fed to
the core, then its Ready is carried out: operations to the WAL in a worker thread, messages to the transport, answers
to whoever asked. One batch is at the disk at a time; what arrives meanwhile becomes the next one.
What it refuses to do: continue after an exception in a step. `failed` is then set and the process ends (node.app).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from node.clock import Clock
from node.errors import Fatal, Rejected
from node.raft import codec, steward
from node.raft.clients import Clients
from node.raft.core import Core
from node.raft.files import Folder
from node.raft.frame import Ready
from node.raft.log import Log
from node.raft.membership import MAX_SIZE, Config, name_of
from node.raft.ports import FileKeys, Message, SnapshotMeta, StateMachine, Timing
from node.raft.recover import align
from node.raft.snapshot import BrokenSnapshot, SnapshotFolder
from node.raft.transport import PeerTransport, encode
from node.raft.vacancy import vacated
from node.raft.wal import Wal
from node.settings import Address, Settings

log = logging.getLogger("raft")


# After a snapshot that could not be written (a full disk, most likely), seconds.
SNAPSHOT_PAUSE = 5.0


@dataclasses.dataclass(frozen=True)
class RaftStatus:
    """What an operator sees of one node. `leader`, `voters` and `connected` are pod names; `size` is how many pods the
    cluster is to have; indexes count entries."""

    name: str
    member: str
    state: str
    leader: str | None
    term: int
    commit_index: int
    applied: int
    last_index: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    size: int
    connected: tuple[str, ...]
    quorum: bool
    ready: bool
    disk_ok: bool


class RaftNode:
    """One member. `on_applied(index)` is called after each step that applied something; readiness also asks
    `prepared()`, whether what stands on the state can work with it."""

    def __init__(
        self,
        settings: Settings,
        machine: StateMachine,
        keys: FileKeys,
        contexts: Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]],
        clock: Clock,
        on_applied: Callable[[int], None] = lambda index: None,
        prepared: Callable[[], bool] = lambda: True,
    ) -> None:
        self.settings, self.machine, self.clock = settings, machine, clock
        self.on_applied = on_applied
        self.prepared = prepared
        self._peers: Mapping[str, Address] = settings.peers
        self._keys, self._contexts = keys, contexts
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._wal_thread = concurrent.futures.ThreadPoolExecutor(1, "wal")
        self._snapshot_thread = concurrent.futures.ThreadPoolExecutor(1, "snapshot")
        self._disk_free = True
        self._step_due = False
        self._stopping = False
        self._closed = False
        self._greetings: dict[str, Message] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stewarded = 0.0
        self._dialed = Config()
        self._reported: tuple[bool, str | None, int] = (False, None, 0)

    # -- life ----------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Read the disk, listen, dial. Raises Fatal when the disk's content may not be used."""
        settings = self.settings
        await vacated(settings.data_dir, self.clock)
        await self._loop.run_in_executor(self._wal_thread, self._recover, settings.data_dir)
        timing = Timing(settings.heartbeat, settings.election_min, settings.election_max, settings.disk_stall)
        self.core = Core(self._wal.member, self._log, self.machine, self._snapshots, self.clock, timing)
        self.core.snapshot_bytes = settings.snapshot_bytes
        self._transport = PeerTransport(settings.name, settings.cluster, self._peers, self._contexts, self, self.clock)
        self.clients = Clients(self.core, self._transport, self.clock, settings, self.kick)
        self._redial()
        await self._transport.start(settings.peer_listen)
        log.info("%s starts: term %d, log to %d", self.core.member, self.core.term, self.core.log.last_index)
        self._bootstrap()
        self._tick()

    def _recover(self, folder: Path) -> None:
        self._wal = Wal(Folder(folder), self._keys)
        self._log: Log = self._wal.load(f"{self.settings.name}.{self.clock.token(6).hex()}")
        if name_of(self._wal.member) != self.settings.name:
            raise Fatal(
                f"{folder} belongs to {name_of(self._wal.member)}, this node is {self.settings.name}",
                hint="mount the volume that belongs to this pod",
            )
        self._snapshots = SnapshotFolder(folder, self._keys)
        self._snapshots.load(self.machine, self._log.base_index)
        align(self._log, self._snapshots)

    async def hand_over(self, timeout: float = 1.5) -> None:
        """Planned stop, first half: give leadership away and withdraw readiness; requests are still forwarded."""
        self._stopping = True
        deadline = self.clock.now() + timeout
        if self.core.leading and self.core.transfer_leadership():
            while self.core.leading and self.core.handover and self.clock.now() < deadline:
                self.kick()
                await asyncio.sleep(0.005)

    async def stop(self, timeout: float = 1.0) -> None:
        """Planned stop, second half: let the disk finish what it has, then close everything."""
        deadline = self.clock.now() + timeout
        while not self._disk_free and self.clock.now() < deadline:  # noqa: ASYNC110 - bounded, and once in a life
            await asyncio.sleep(0.005)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._transport.stop()
        self._wal.close()
        self._wal_thread.shutdown(wait=False)
        self._snapshot_thread.shutdown(wait=False)

    # -- the step ------------------------------------------------------------------------------------------------
    def kick(self) -> None:
        """Run a step in this turn of the loop; many kicks make one step."""
        if not self._step_due and not self._closed and not self.failed.done():
            self._step_due = True
            self._loop.call_soon(self._step)

    def _tick(self) -> None:
        # Half a heartbeat: a heartbeat is never more than that late, and an election deadline neither.
        self._timer = self._loop.call_later(self.settings.heartbeat / 2, self._tick)
        self.clients.expire()
        self._steward()
        self.kick()

    def _step(self) -> None:
        self._step_due = False
        if self._closed:
            return
        try:
            before = self.core.last_applied
            self.core.tick()
            self._carry_out(self.core.take_ready(disk_free=self._disk_free))
            if self.core.config is not self._dialed:
                self._redial()
            if self.core.last_applied != before:
                self._applied()
            self.clients.stepped()
            self._report()
            if self.core.more_to_do:
                self.kick()
        except Exception as error:
            self._crash(error)

    def _report(self) -> None:
        """A log line when who leads has changed: the first thing to look for when something was slow."""
        core = self.core
        now = (core.leading, core.leader, core.term)
        if now == self._reported or (core.leader is None and now[1] == self._reported[1]):
            return
        self._reported = now
        if core.leading:
            log.info("%s leads term %d", self.settings.name, core.term)
        elif core.leader is not None:
            log.info("%s follows %s in term %d", self.settings.name, name_of(core.leader), core.term)
        else:
            log.warning("%s knows of no leader, term %d", self.settings.name, core.term)

    def _crash(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _carry_out(self, ready: Ready) -> None:
        if ready.ops:
            self._disk_free = False
            self._in_thread(self._wal_thread, self._wal.append, ready.ops, then=lambda _: self._durable(ready.lsn))
        frames: dict[int, bytes] = {}
        for member, message in ready.messages:
            # A message to several followers is one object: encode it once.
            frame = frames.get(id(message))
            if frame is None:
                frame = frames[id(message)] = encode(message)
            self._transport.send(member, frame)
        for token, outcome, value in ready.completions:
            self.clients.answer(token, outcome, value)
        if ready.capture is not None:
            self._capture(ready.capture)
        if ready.install is not None:
            self._install(ready.install)

    def _in_thread(
        self,
        pool: concurrent.futures.ThreadPoolExecutor,
        work: Callable[..., Any],
        *args: Any,
        then: Callable[[Any], None],
        otherwise: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Run blocking work; continue on the loop with its result. An error without a handler stops the node."""

        def finish(future: concurrent.futures.Future[Any]) -> None:
            error = future.exception()
            if error is None:
                then(future.result())
            else:
                (otherwise or self._crash)(error)
            self.kick()

        def done(future: concurrent.futures.Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed under a planned stop
                self._loop.call_soon_threadsafe(finish, future)

        pool.submit(work, *args).add_done_callback(done)

    def _durable(self, lsn: int) -> None:
        self._disk_free = True
        self.core.durable(lsn)

    def _applied(self) -> None:
        self.clients.applied(self.core.last_applied)
        self.on_applied(self.core.last_applied)

    # -- snapshots -----------------------------------------------------------------------------------------------
    def _capture(self, meta: SnapshotMeta) -> None:
        chunks = self.machine.capture()

        def saved(written: SnapshotMeta) -> None:
            self.core.snapshot_saved(written)
            self._in_thread(
                self._wal_thread,
                self._wal.drop_below,
                self.core.log.base_index,
                then=lambda _: None,
                otherwise=lambda error: log.error("old WAL segments could not be removed: %s", error),
            )
            log.info("snapshot to %d, %d bytes", written.index, written.size)

        def failed(error: BaseException) -> None:
            # The log keeps everything: nothing is lost, and it is tried again in a while.
            log.error("snapshot failed, next attempt in %g s: %s", SNAPSHOT_PAUSE, error)
            self._loop.call_later(SNAPSHOT_PAUSE, setattr, self.core, "snapshotting", False)

        self._in_thread(self._snapshot_thread, self._snapshots.save, meta, chunks, then=saved, otherwise=failed)

    def _install(self, meta: SnapshotMeta) -> None:
        def loaded(state: Any) -> None:
            self.core.installed(meta, state)
            self._applied()
            log.info("installed a snapshot to %d", meta.index)

        def failed(error: BaseException) -> None:
            if not isinstance(error, BrokenSnapshot | OSError):
                self._crash(error)
                return
            log.error("a received snapshot was not taken: %s", error)
            self.core.install_failed()

        self._in_thread(
            self._snapshot_thread, self._snapshots.finish, meta, self.machine, then=loaded, otherwise=failed
        )

    # -- peers ---------------------------------------------------------------------------------------------------
    def greeting(self) -> Message:
        core = self.core
        return {
            "cluster": self.settings.cluster,
            "member": core.member,
            "blank": core.blank,
            "config": core.config_index,
        }

    def peer_up(self, member: str, greeting: Message) -> None:
        self._greetings[member] = greeting
        log.info("peer %s connected", member)
        self.core.peer_connected(member)
        self._bootstrap()
        self.kick()

    def peer_down(self, member: str) -> None:
        self._greetings.pop(member, None)
        log.info("peer %s disconnected", member)
        self.clients.disconnected(member)
        self.core.peer_disconnected(member)
        self.kick()

    def peer_message(self, member: str, message: Message) -> None:
        try:
            self._dispatch(member, message)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # An authenticated peer that sends a malformed message is of a version we do not know: say so, drop it.
            log.error("message %s of %s dropped: %s", message.get("type"), member, type(error).__name__)
        except Exception as error:
            self._crash(error)
        self.kick()

    def _dispatch(self, member: str, message: Message) -> None:
        kind = message["type"]
        if kind == "propose":
            self.core.propose(message["command"], (member, message["id"]))
        elif kind == "read_index":
            self.core.read((member, message["id"]))
        elif kind == "resize":
            self.core.resize(codec.unpack(message["command"]), (member, message["id"]))
        elif kind == "outcome":
            self.clients.answered(member, message["id"], message["outcome"], message["value"])
        elif kind == "bootstrap":
            if self.core.blank and name_of(member) == min(self._peers):
                self.core.bootstrap(tuple(message["voters"]))
                log.info("first start: voters %s", ", ".join(message["voters"]))
        else:
            self.core.receive(member, message)

    def _bootstrap(self) -> None:
        """First start of a cluster: the first pod by name, seeing every other disk blank, writes the full list.

        One decider and the full list make it race-free; a disk that is wiped later meets members that are not blank.
        """
        names = self._peers
        # Pods beyond these may be here already; they are let in later, by the size of the cluster.
        blank = {
            name_of(m): m for m, said in self._greetings.items() if said.get("blank") is True and name_of(m) in names
        }
        if not self.core.blank or self.settings.name != min(names):
            return
        if blank.keys() != names.keys() - {self.settings.name}:
            return
        voters = (self.core.member, *blank.values())
        self.core.bootstrap(voters)
        log.info("first start: voters %s", ", ".join(voters))
        for member in blank.values():
            self._transport.send(member, encode({"type": "bootstrap", "voters": voters}))

    def _steward(self) -> None:
        """Leader: let new disks in and old ones go, one committed step at a time."""
        now = self.clock.now()
        if now - self._stewarded < self.settings.election_max:
            return
        self._stewarded = now
        for member, greeting in list(self._greetings.items()):
            if self.refuses(name_of(member), greeting):
                log.info("peer %s was removed from the cluster", member)
                self._transport.close(member)
        change = steward.act(self.core, self._peers.keys())
        if change is not None:
            log.info("membership: voters %s learners %s", change.voters, change.learners)

    def set_peers(self, peers: Mapping[str, Address]) -> None:
        """The configured peers are these from now on, as if SAFE_PEERS had said so."""
        self._peers = dict(peers)
        self._redial()
        self.kick()

    def _redial(self) -> None:
        """Dial whom the configuration in force names, wanted or still a member, and the configured ones."""
        self._dialed = config = self.core.config
        names = config.wanted(self._peers) | {name_of(member) for member in config.members}
        found = {name: self.settings.address_of(name) for name in sorted(names - self._peers.keys())}
        self._transport.set_peers({**self._peers, **{name: at for name, at in found.items() if at is not None}})

    def refuses(self, name: str, greeting: Message) -> str:
        """Why a peer may not come in, or ""; asked at the peer door."""
        known = greeting.get("config")
        return self.core.refuses(name, self._peers.keys(), known if isinstance(known, int) else 0)

    # -- requests ------------------------------------------------------------------------------------------------
    async def propose(self, command: bytes, timeout: float) -> bytes:
        """Replicate a command and return the state machine's result. The command must carry a request id: it may be
        handed over more than once. Raises Retry (no_quorum, unavailable)."""
        return await self.clients.propose(command, timeout)

    async def resize(self, size: int, timeout: float) -> int:
        """The cluster is to have the pods PREFIX-0 to PREFIX-(size-1): the leader brings the membership there by single
        committed steps, whoever leads. Returns the log index of the decision. Raises Rejected, Retry."""
        prefix = self.settings.name.rpartition("-")[0]
        if not 1 <= size <= MAX_SIZE:
            raise Rejected(f"a cluster has 1 to {MAX_SIZE} members, not {size}", hint="3 and 5 are the usual sizes")
        for name in (f"{prefix}-{ordinal}" for ordinal in range(size)):
            if name not in self._peers and self.settings.address_of(name) is None:
                raise Rejected(
                    f"the address of {name} is not known to this node",
                    hint="set SAFE_PEER_TEMPLATE, for example {name}.safe-peers:8300, or name it in SAFE_PEERS",
                )
        return await self.clients.resize(size, timeout)

    async def read_barrier(self, timeout: float) -> int:
        """Linearizable read: returns once everything acknowledged before the call is applied here. Raises Retry."""
        return await self.clients.read_barrier(timeout)

    async def wait_applied(self, index: int, timeout: float) -> bool:
        """True once this node has applied index, False if it has not by then."""
        return await self.clients.wait_applied(index, timeout)

    # -- status --------------------------------------------------------------------------------------------------
    def status(self) -> RaftStatus:
        core = self.core
        quorum = core.has_quorum
        return RaftStatus(
            name=self.settings.name,
            member=core.member,
            state=core.state_name,
            leader=name_of(core.leader) if core.leader else None,
            term=core.term,
            commit_index=core.commit_index,
            applied=core.last_applied,
            last_index=core.log.last_index,
            voters=tuple(name_of(m) for m in core.config.voters),
            learners=tuple(name_of(m) for m in core.config.learners),
            size=len(core.config.wanted(self._peers)),
            connected=tuple(sorted(name_of(m) for m in core.connected)),
            quorum=quorum,
            ready=quorum
            and core.disk_ok
            and core.installing is None
            and not core.blank
            and not self._stopping
            and self.prepared(),
            disk_ok=core.disk_ok,
        )
