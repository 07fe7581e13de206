"""The core: one subclass of the library's SyncObj, from events to what must be done (Ready).

Why it exists: everything Raft decides is here and below, without a socket, a file, a clock or a random number of its
own, so that the simulator runs exactly this code. The driver (node.py, or the simulator) feeds events, then takes a
Ready and carries it out. Layers, each a class on top of the one before: frame, membership, election, replication,
install, reads, core.
What it refuses to do: continue after an exception in apply, or let a callback run inside a decision: requests are
answered by completions that the driver delivers afterwards.
"""

from __future__ import annotations

from typing import Any

from node.raft.frame import APPLIED, LOST, REFUSED, Ready
from node.raft.log import Op
from node.raft.membership import Config
from node.raft.pinned import CANDIDATE, LEADER, Node
from node.raft.ports import MEMBERSHIP, REGULAR, Message, SnapshotMeta
from node.raft.reads import Reads

# Applied in one step before the loop gets a turn: some 10 ms of work.
APPLY_BATCH = 2_000
# Proposals waiting for the next step; beyond it callers are told to come back.
MAX_PROPOSALS = 20_000
# Entries kept below a snapshot for members that were away for a moment.
TRAIL = 1_000

# Messages a member that is not in our configuration may send: a leader or candidate we have not learned of yet.
FROM_STRANGERS = frozenset(
    {"append_entries", "heartbeat", "install_snapshot", "pre_vote", "request_vote", "timeout_now", "newer_term"}
)


class Core(Reads):
    """Feed: tick, receive, peer_connected, peer_disconnected, propose, read, durable, snapshot_saved, installed.
    Take: take_ready after each."""

    def __init__(self, *args: Any) -> None:
        self.proposals: list[tuple[bytes, Any]] = []
        # (target, deadline, asked) while leadership is being handed over.
        self.handover: tuple[str, float, bool] | None = None
        # Bytes of log after which a snapshot is worth taking; set by the driver.
        self.snapshot_bytes = 64 << 20
        self.snapshotting = False
        self.hint_at = 0.0
        self.ticked_at: float | None = None
        self._handlers = {
            name[3:]: getattr(self, name) for name in dir(type(self)) if name.startswith("on_") and name != "on_"
        }
        super().__init__(*args)

    # -- events --------------------------------------------------------------------------------------------------
    def propose(self, command: bytes, token: Any, kind: bytes = REGULAR) -> None:
        """Leader: append a command with the next step. Answered by APPLIED, LOST or REFUSED."""
        if not self.leading or self.handover is not None:
            self.complete(token, REFUSED, "not the leader")
        elif len(self.proposals) >= MAX_PROPOSALS:
            self.complete(token, REFUSED, "too many proposals")
        else:
            self.proposals.append((kind + command, token))

    def propose_config(self, new: Config, token: Any = None) -> str:
        """Leader: change the membership by one step. Returns why not, or ""."""
        reason = "handing over" if self.handover else self.refuse_change(new)
        if not reason:
            self.append(new.entry(), token)
        return reason

    def resize(self, size: int, token: Any) -> None:
        """Leader: the cluster is to have the pods 0 to size - 1; the steward brings it there. Answered like propose."""
        reason = self.propose_config(self.config.with_(size=size), token)
        if reason:
            self.complete(token, REFUSED, reason)

    def receive(self, sender: str, message: Message) -> None:
        """A message of an authenticated peer. Answers of non-members are dropped."""
        kind = message["type"]
        handler = self._handlers.get(kind)
        if handler is not None and (kind in FROM_STRANGERS or sender in self.peers):
            handler(sender, message)

    def durable(self, lsn: int) -> None:
        """The disk holds everything up to lsn."""
        self.log.made_durable(lsn)
        self.own_vote_durable()

    def transfer_leadership(self, to: str | None = None) -> bool:
        """Begin to hand over, to member `to` or the most advanced connected voter. False if there is none such or
        this is no leader."""
        able = [m for m in self.config.voters if m in self.connected and m in self.progress and to in (None, m)]
        if not self.leading or not able:
            return False
        target = max(able, key=lambda member: (self.progress[member].match, member))
        self.handover = (target, self.clock.now() + self.timing.transfer, False)
        return True

    # -- the step ------------------------------------------------------------------------------------------------
    def tick(self) -> None:
        """Everything that is due now: elections, proposals, commit, apply, messages."""
        self._forgive_stall()
        self.tick_election()
        if self.leading:
            self._tick_leader()
        self.apply_committed()
        if self.leading:
            self.start_round()
            self.replicate()
            self.confirm_reads()
        self._request_snapshot()

    def _forgive_stall(self) -> None:
        """After this process was held up (CPU limit, collector, suspended), what others sent meanwhile lies unread:
        read that before judging who is alive."""
        now, timing = self.clock.now(), self.timing
        since = now - self.ticked_at if self.ticked_at is not None else 0.0
        self.ticked_at = now
        if since <= timing.heartbeat * 2:
            return
        grace = timing.heartbeat * 2
        self.election_deadline = max(self.election_deadline, now + grace)
        for progress in self.progress.values():
            progress.heard_at = max(progress.heard_at, now - timing.election_max + grace)

    def _tick_leader(self) -> None:
        if not self.disk_ok and self.handover is None and not self.transfer_leadership():
            self.become_follower(self.term)
            return
        for data, token in self.proposals:
            self.append(data, token)
        self.proposals.clear()
        self.advance_commit()
        if self.leading and not self.has_majority_contact():
            self.become_follower(self.term)
        if self.handover is not None and self.leading:
            self._tick_handover(*self.handover)

    def _tick_handover(self, target: str, deadline: float, asked: bool) -> None:
        progress = self.progress.get(target)
        if progress is None or self.clock.now() > deadline:
            self.handover = None
            if not self.disk_ok:
                self.become_follower(self.term)
        elif not asked and progress.match == self.log.last_index:
            self.send(target, {"type": "timeout_now", "term": self.term})
            self.handover = (target, deadline, True)

    def abdicated(self) -> None:
        super().abdicated()
        self.handover = None
        for _, token in self.proposals:
            self.complete(token, REFUSED, "not the leader")
        self.proposals.clear()

    def apply_committed(self) -> None:
        """Run committed entries through the state machine. An exception there is broken state: the node stops."""
        if self.installing is not None or self.last_applied >= self.commit_index:
            return
        count = min(self.commit_index - self.last_applied, APPLY_BATCH)
        for data, index, term in self.log.slice(self.last_applied + 1, count):
            result: bytes | int = index
            if data[:1] == REGULAR:
                try:
                    result = self.machine.apply(index, data[1:])
                except Exception as error:
                    raise self.fatal(f"the state machine failed at {index}: {type(error).__name__}") from error
            self.last_applied = index
            waiting = self.waiters.pop(index, None)
            if waiting is not None:
                self.complete(waiting[1], APPLIED if waiting[0] == term else LOST, result)

    @property
    def more_to_do(self) -> bool:
        """A step was cut short, or there is news for a follower: the driver comes back with the next turn."""
        return (self.leading and self.news_due) or (self.installing is None and self.last_applied < self.commit_index)

    # -- snapshots -----------------------------------------------------------------------------------------------
    def _request_snapshot(self) -> None:
        covered = self.last_applied - self.log.base_index
        if self.snapshotting or self.installing is not None or covered <= TRAIL:
            return
        if self.log.bytes >= self.snapshot_bytes:
            self.request_snapshot()

    def request_snapshot(self) -> None:
        """Ask the driver to capture the state machine as it is now."""
        index = self.last_applied
        term = self.log.term_at(index)
        assert term is not None
        config = self.config_at(index)
        self.snapshotting = True
        self._capture = SnapshotMeta(index, term, (config.voters, config.learners, config.size), 0, b"")

    def snapshot_saved(self, meta: SnapshotMeta, trail: int = TRAIL) -> None:
        self.snapshotting = False
        super().snapshot_saved(meta, trail)

    # -- output --------------------------------------------------------------------------------------------------
    def take_ready(self, *, disk_free: bool) -> Ready:
        """What to do now. Operations are handed out only while the disk is free: one batch in flight at a time."""
        log, now = self.log, self.clock.now()
        ops: list[Op] = []
        lsn = log.durable_lsn
        # The commit hint rides on other records; alone it is worth one only when the log has been quiet for a while.
        if log.pending:
            self.hint_at = now
        if disk_free and (log.pending or (log.hint_pending and now - self.hint_at > self.timing.election_max)):
            ops, lsn = log.take_ops(now)
            self.hint_at = now
        self.outbox.release(log.durable_lsn)
        messages, self.outbox.free = self.outbox.free, []
        completions, self.completions = self.completions, []
        capture, self._capture = self._capture, None
        install, self._install = self._install, None
        return Ready(ops, lsn, messages, completions, capture, install)

    # -- status --------------------------------------------------------------------------------------------------
    @property
    def state_name(self) -> str:
        if self.blank:
            return "blank"
        if not self.is_voter:
            return "learner"
        return {LEADER: "leader", CANDIDATE: "candidate"}.get(self.role, "follower")

    @property
    def has_quorum(self) -> bool:
        """This node knows of a working majority: it leads and is answered, or hears its leader."""
        if self.leading:
            return self.has_majority_contact()
        return self.leader is not None and self.clock.now() - self.last_contact < self.timing.election_max * 2

    def getStatus(self) -> dict[str, Any]:
        """The library's status with its per-peer books brought up to date from ours."""
        for member, progress in self.progress.items():
            node = Node(member)
            self._SyncObj__raftNextIndex[node] = progress.next
            self._SyncObj__raftMatchIndex[node] = progress.match
        self._SyncObj__leaderCommitIndex = self.commit_index
        status: dict[str, Any] = super().getStatus()
        return status

    # -- what the library would call -----------------------------------------------------------------------------
    def _onTick(self, timeToWait: float = 0.0) -> None:
        self.tick()

    def _received(self, node: Node, message: Message) -> None:
        self.receive(node.id, message)

    def _up(self, node: Node) -> None:
        self.peer_connected(node.id)

    def _down(self, node: Node) -> None:
        self.peer_disconnected(node.id)

    _SyncObj__onMessageReceived = _received
    _SyncObj__onNodeConnected = _up
    _SyncObj__onNodeDisconnected = _down
    _SyncObj__onBecomeLeader = Reads.become_leader
    _SyncObj__applyLogEntries = apply_committed


__all__ = ["APPLIED", "LOST", "MEMBERSHIP", "REFUSED", "Core"]
