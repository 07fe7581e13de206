"""Elections: pre-vote, votes collected by name, quick reaction to a closed connection, leadership transfer.

Why it exists: a returning or half-cut node must not depose a healthy leader, a dead leader must be replaced in
milliseconds, and nobody may vote twice in a term, whatever its disk did (Ongaro's thesis 3.4, 4.2.3, 9.6).
What it refuses to do: count a vote from a member that is not a voter of the configuration in force, grant one before
the vote is durable (frame.py holds the message back), or campaign while its own disk is stuck.

Quick election and read leases exclude each other: a voter that reacts to a closed connection may elect a new leader
while the old one still believes in its lease. Reads go by ReadIndex (reads.py), so the quick election is safe.
"""

from __future__ import annotations

from typing import Any

from node.raft.membership import Membership
from node.raft.pinned import CANDIDATE, FOLLOWER, Node
from node.raft.ports import Message

# A connection closed by the leader's end: wait a moment for the others to see it too, spread so that one candidate
# is ahead. Measured by the prototype: median 32 ms from kill -9 to the next commit.
QUICK_LOW, QUICK_HIGH = 0.005, 0.06
# After a pre-vote that failed although the leader's connection is closed (others had not noticed yet).
RETRY_LOW, RETRY_HIGH = 0.05, 0.15


class Election(Membership):
    """Follower, pre-candidate, candidate. `votes` and `pre_votes` are sets of member ids, never counters."""

    def __init__(self, *args: Any) -> None:
        self.votes: set[str] = set()
        self.pre_votes: set[str] | None = None
        # LSN at which this node's own vote is durable; it counts itself no earlier.
        self.vote_lsn = 0
        # The connection to the leader closed from its end since we last heard from it.
        self.leader_gone = False
        # Set by timeout_now: the leader asked this node to take over.
        self.asked_to_lead = False
        self.elections = 0
        super().__init__(*args)

    def forget_candidacy(self) -> None:
        self.votes = set()
        self.pre_votes = None
        self.leader_gone = False

    # -- who is alive --------------------------------------------------------------------------------------------
    def leader_seems_alive(self) -> bool:
        """Stickiness: while true, this node neither helps nor starts to depose the leader."""
        if self.leading:
            return True
        return not self.leader_gone and self.clock.now() - self.last_contact < self.timing.election_min

    def heard_from(self, leader: str) -> None:
        """A message of the current term's leader arrived."""
        self.leader = leader
        self.last_contact = self.clock.now()
        self.pre_votes = None
        self.leader_gone = False
        if not self.asked_to_lead:
            self.postpone_election()

    def peer_connected(self, member: str) -> None:
        self._connected.add(Node(member))

    def peer_disconnected(self, member: str) -> None:
        self._connected.discard(Node(member))
        if member == self.leader and not self.leading:
            self.leader_gone = True
            self.postpone_election(QUICK_LOW, QUICK_HIGH)

    # -- standing ------------------------------------------------------------------------------------------------
    def tick_election(self) -> None:
        """Campaign when the deadline has passed and this node could win: a voter with a working disk."""
        if self.leading or self.clock.now() < self.election_deadline:
            return
        if not self.is_voter or not self.disk_ok:
            self.postpone_election()
            return
        if self.asked_to_lead:
            self.asked_to_lead = False
            self.postpone_election()
            self.stand(transfer=True)
            return
        if self.leader_gone:
            self.postpone_election(RETRY_LOW, RETRY_HIGH)
        else:
            self.postpone_election()
        self.leader = None
        self.ask_pre_votes()

    def ask_pre_votes(self) -> None:
        """Ask whether an election could succeed, without disturbing anyone's term."""
        self.pre_votes = {self.member}
        if self._majority(self.pre_votes):
            self.stand(transfer=False)
            return
        for member in self.config.voters:
            if member != self.member:
                self.send(member, self._candidacy("pre_vote", self.term + 1))

    def stand(self, *, transfer: bool) -> None:
        """Start a real election: new term, own vote; both are durable before anyone is asked."""
        self.pre_votes = None
        self.leader = None
        self.role = CANDIDATE
        self.votes = set()
        self.enter_term(self.term + 1, self.member)
        self.vote_lsn = self.log.lsn
        self.elections += 1
        self.postpone_election()
        for member in self.config.voters:
            if member != self.member:
                self.send(member, {**self._candidacy("request_vote", self.term), "transfer": transfer})

    def own_vote_durable(self) -> None:
        """Called when the disk got further: count the own vote once it cannot be forgotten."""
        if self.role == CANDIDATE and self.log.durable_lsn >= self.vote_lsn:
            self._count_vote(self.member)

    def _count_vote(self, member: str) -> None:
        self.votes.add(member)
        if self._majority(self.votes):
            self.become_leader()

    def _majority(self, members: set[str]) -> bool:
        return len(members & set(self.config.voters)) >= self.config.quorum

    def _candidacy(self, kind: str, term: int) -> Message:
        return {"type": kind, "term": term, "last_index": self.log.last_index, "last_term": self.log.last_term}

    def _log_is_current(self, message: Message) -> bool:
        """The candidate's log is at least as up to date as ours (Raft 5.4.1)."""
        theirs = (message["last_term"], message["last_index"])
        return bool(theirs >= (self.log.last_term, self.log.last_index))

    # -- messages ------------------------------------------------------------------------------------------------
    def on_pre_vote(self, sender: str, message: Message) -> None:
        granted = (
            not self.blank
            and message["term"] > self.term
            and self._log_is_current(message)
            and not self.leader_seems_alive()
        )
        self.send(
            sender,
            {"type": "pre_vote_response", "term": message["term"], "granted": granted, "current": self.term},
        )

    def on_pre_vote_response(self, sender: str, message: Message) -> None:
        if message["current"] > self.term:
            self.become_follower(message["current"])
        elif self.pre_votes is not None and message["granted"] and message["term"] == self.term + 1:
            self.pre_votes.add(sender)
            if self._majority(self.pre_votes):
                self.stand(transfer=False)

    def on_request_vote(self, sender: str, message: Message) -> None:
        if self.blank or (not message["transfer"] and self.leader_seems_alive()):
            return
        if message["term"] > self.term:
            self.become_follower(message["term"])
        granted = (
            message["term"] == self.term
            and self.role == FOLLOWER
            and self._log_is_current(message)
            and self.voted_for in (None, sender)
        )
        if granted:
            self.postpone_election()
            if self.voted_for is None:
                self.enter_term(self.term, sender)
        self.send(
            sender,
            {"type": "vote_response", "term": message["term"], "granted": granted, "current": self.term},
        )

    def on_vote_response(self, sender: str, message: Message) -> None:
        if message["current"] > self.term:
            self.become_follower(message["current"])
        elif self.role == CANDIDATE and message["granted"] and message["term"] == self.term:
            self._count_vote(sender)

    def on_timeout_now(self, sender: str, message: Message) -> None:
        """The leader hands over (thesis 3.10): stand at once, without pre-vote."""
        if message["term"] == self.term and sender == self.leader and self.is_voter:
            self.asked_to_lead = True
            self.election_deadline = self.clock.now()

    def on_newer_term(self, sender: str, message: Message) -> None:
        """A peer refused what we sent because it knows a newer term."""
        if message["term"] > self.term:
            self.become_follower(message["term"])

    # -- hook ----------------------------------------------------------------------------------------------------
    def become_leader(self) -> None:
        """Replication layer: take the lead of the current term."""
