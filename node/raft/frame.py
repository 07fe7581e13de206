"""The subclass of the library's SyncObj on which the other raft modules stand, and the one way messages leave.

Why it exists: pysyncobj is the frame (its constructor, state fields, Node, Transport, Journal, status), its handlers
are replaced. This layer names the library's private state in Raft's words, and holds the rule that ties messages to
the disk: **no message of a term leaves before the term and the vote in it are durable**, and an acknowledgement leaves
only after the entries it covers are.
What it refuses to do: decide anything about elections or replication; read a clock or draw a random number but through
the clock it was given.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from node.errors import Fatal
from node.raft import pinned
from node.raft.log import Log, Op
from node.raft.pinned import CANDIDATE, FOLLOWER, LEADER, Node, SyncObj, SyncObjConf, Transport
from node.raft.ports import Clock, Message, SnapshotFiles, SnapshotMeta, StateMachine, Timing

# How a request that was handed to the core ended.
APPLIED = "applied"  # value: the state machine's result
READ = "read"  # value: the index to wait for before reading
LOST = "lost"  # the outcome is unknown: ask again with the same request id
REFUSED = "refused"  # nothing happened; value says why
Completion = tuple[Any, str, Any]


@dataclasses.dataclass
class Ready:
    """What the driver must do now. `ops` must be durable, in order, before `lsn` is reported back; `messages` may
    leave at once; `completions` answer requests; `capture` asks for a snapshot of the state machine as it is at this
    moment; `install` says that a received snapshot is complete and must be verified and loaded."""

    ops: list[Op]
    lsn: int
    messages: list[tuple[str, Message]]
    completions: list[Completion]
    capture: SnapshotMeta | None
    install: SnapshotMeta | None


class Outbox(Transport):
    """The library's Transport: keeps messages until the LSN they depend on is durable."""

    def __init__(self) -> None:
        super().__init__(None, None, ())
        self.free: list[tuple[str, Message]] = []
        self.held: list[tuple[int, str, Message]] = []

    def send(self, node: Node, message: Message) -> bool:
        self.free.append((node.id, message))
        return True

    def release(self, durable_lsn: int) -> None:
        """Move what depends on nothing above durable_lsn to the messages that may leave.

        Of several append acknowledgements to one peer that become free together only the newest is kept: it covers
        the others.
        """
        if not self.held or self.held[0][0] > durable_lsn:
            return
        ready = [item for item in self.held if item[0] <= durable_lsn]
        self.held = self.held[len(ready) :]
        newest = {(to, m["term"]): i for i, (_, to, m) in enumerate(ready) if m["type"] == "append_response"}
        for i, (_, to, message) in enumerate(ready):
            if message["type"] != "append_response" or newest[to, message["term"]] == i:
                self.free.append((to, message))


class Frame(SyncObj):
    """The library's state in Raft's words. `member` ids are strings: "<name>.<disk id>"."""

    role: int = pinned.private("raftState")
    term: int = pinned.private("raftCurrentTerm")
    voted_for: str | None = pinned.private("votedForNodeId")
    election_deadline: float = pinned.private("raftElectionDeadline")
    commit_index: int = pinned.private("raftCommitIndex")
    last_applied: int = pinned.private("raftLastApplied")
    noop_index: int = pinned.private("noopIDx")
    _leader: Node | None = pinned.private("raftLeader")
    _other_nodes: set[Node] = pinned.private("otherNodes")
    _connected: set[Node] = pinned.private("connectedNodes")

    def __init__(
        self,
        member: str,
        log: Log,
        machine: StateMachine,
        snapshots: SnapshotFiles,
        clock: Clock,
        timing: Timing,
    ) -> None:
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            dynamicMembershipChange=False,
            password=None,
            fullDumpFile=None,
            raftMinTimeout=timing.election_min,
            raftMaxTimeout=timing.election_max,
            appendEntriesPeriod=timing.heartbeat,
            leaderFallbackTimeout=timing.election_max,
            connectionTimeout=max(5.0, timing.election_max * 2),
        )
        conf.journalFile = log
        self.member = member
        self.log = log
        self.machine = machine
        self.snapshots = snapshots
        self.clock = clock
        self.timing = timing
        self.outbox = Outbox()
        self.completions: list[Completion] = []
        self._capture: SnapshotMeta | None = None
        self._install: SnapshotMeta | None = None
        SyncObj.__init__(self, Node(member), [], conf, nodeClass=Node, transport=self.outbox)
        missing = [name for name in pinned.FIELDS if not hasattr(self, f"_SyncObj__{name}")]
        if missing:
            raise Fatal(f"pysyncobj lacks {', '.join(missing)}")
        self._SyncObj__needLoadDumpFile = False
        now = clock.now()
        self.last_contact = now
        latest = snapshots.latest()
        covered = latest.index if latest is not None else 0
        if log.base_index > covered:
            raise self.fatal(
                f"the log begins after {log.base_index}, the snapshot ends at {covered}: entries are missing"
            )
        self.last_applied = covered
        self.commit_index = max(covered, log.commit_hint)
        self.noop_index = 0
        self.postpone_election()

    # -- words ---------------------------------------------------------------------------------------------------
    @property
    def leading(self) -> bool:
        return self.role == LEADER

    @property
    def leader(self) -> str | None:
        """Member id of the leader this node believes in."""
        return self._leader.id if self._leader is not None else None

    @leader.setter
    def leader(self, member: str | None) -> None:
        self._leader = Node(member) if member is not None else None

    @property
    def connected(self) -> set[str]:
        return {node.id for node in self._connected}

    @property
    def disk_ok(self) -> bool:
        """False while the disk has been silent about a batch for longer than the allowed stall."""
        since = self.log.disk_busy_since
        return since is None or self.clock.now() - since <= self.timing.disk_stall

    def postpone_election(self, low: float | None = None, high: float | None = None) -> None:
        """Draw a new election deadline, by default one election timeout from now."""
        timing = self.timing
        wait = self.clock.uniform(
            timing.election_min if low is None else low, timing.election_max if high is None else high
        )
        self.election_deadline = self.clock.now() + wait

    # -- messages ------------------------------------------------------------------------------------------------
    def send(self, to: str, message: Message, after: int = 0) -> None:
        """Let message go to a member once everything up to LSN `after`, and the term and vote, are durable."""
        after = max(after, self.log.hard_lsn)
        if after <= self.log.durable_lsn:
            self.outbox.free.append((to, message))
        else:
            # Held messages are kept in order of LSN, so that a release is a prefix.
            held = self.outbox.held
            position = len(held)
            while position and held[position - 1][0] > after:
                position -= 1
            held.insert(position, (after, to, message))

    def complete(self, token: Any, outcome: str, value: Any = None) -> None:
        """Answer a request; the driver delivers it outside the core."""
        if token is not None:
            self.completions.append((token, outcome, value))

    # -- state ---------------------------------------------------------------------------------------------------
    def enter_term(self, term: int, vote: str | None) -> None:
        """Durable state of a term; what is sent from now on waits for it."""
        self.term, self.voted_for = term, vote
        self.log.setCurrentTerm(term, vote)
        # An acknowledgement of an earlier term that still waits for the disk is nobody's business any more.
        self.outbox.held = [held for held in self.outbox.held if held[2]["type"] != "append_response"]

    def become_follower(self, term: int, leader: str | None = None) -> None:
        """Follow `leader` (or nobody yet) in `term`, which is never below the current one."""
        was = self.role
        if term > self.term:
            self.enter_term(term, None)
        self.role = FOLLOWER
        self.leader = leader
        if was in (LEADER, CANDIDATE):
            self.postpone_election()
        self.forget_candidacy()
        if was == LEADER:
            self.abdicated()

    def fatal(self, why: str) -> Fatal:
        return Fatal(f"{self.member} term {self.term} commit {self.commit_index}: {why}")

    # -- hooks the layers above fill -----------------------------------------------------------------------------
    def forget_candidacy(self) -> None:
        """Election layer: drop votes and pre-votes being collected."""

    def abdicated(self) -> None:
        """Leader no more: requests in flight have unknown outcomes."""

    def _generate_timeout(self) -> float:
        return self.clock.uniform(self.timing.election_min, self.timing.election_max)

    _SyncObj__generateRaftTimeout = _generate_timeout
