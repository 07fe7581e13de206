"""Replication: what the leader sends, what a follower takes, what counts as committed.

Why it exists: this is where the stock library loses acknowledged writes. The rules here: a follower cuts its log only
from the first real conflict and never at or below its commit index; an acknowledgement carries term and sequence
number and never rewinds anything; the leader counts itself only up to what its own disk holds; only entries of its
own term are committed by counting (Raft 5.3, 5.4.2, figure 8).
What it refuses to do: buffer without bound (a byte window a peer), resend on a refusal older than the last rewind (a
storm), or take a commit index against entries this very message did not prove.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from node.raft.election import Election
from node.raft.frame import LOST
from node.raft.pinned import FOLLOWER, LEADER
from node.raft.ports import MEMBERSHIP, NOOP, Entry, Message

# One append: enough to amortise a message, small enough that a heartbeat behind it is not late.
BATCH_BYTES = 256 << 10
BATCH_ENTRIES = 2048
# In flight to one peer before its acknowledgement: covers 1 Gbit/s at 30 ms, and bounds a slow peer's buffers.
WINDOW_BYTES = 4 << 20
WINDOW_ENTRIES = 8192


@dataclasses.dataclass(slots=True)
class Progress:
    """What the leader knows of one member. `match` is durable there; `next` is what to send; `seq` values are the
    leader's message numbers: `echoed` the highest answered, `appended` the last that carried entries, `rewound` the
    one before which refusals are old news; `told` is the commit index it has been told, `news` one it is to be told."""

    next: int
    match: int = 0
    echoed: int = 0
    appended: int = 0
    rewound: int = 0
    told: int = 0
    news: int = 0
    heard_at: float = 0.0
    sent_at: float = 0.0
    in_flight: collections.deque[tuple[int, int]] = dataclasses.field(default_factory=collections.deque)
    in_flight_bytes: int = 0
    transfer: Any = None

    def sent(self, last_index: int, size: int) -> None:
        self.in_flight.append((last_index, size))
        self.in_flight_bytes += size

    def acknowledged(self, index: int) -> None:
        while self.in_flight and self.in_flight[0][0] <= index:
            self.in_flight_bytes -= self.in_flight.popleft()[1]

    def rewind(self, to: int, seq: int) -> None:
        """Send again from `to` (never at or below what is acknowledged)."""
        self.next = max(self.match + 1, to)
        self.rewound = seq
        self.told = 0
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self.sent_at = 0.0


class Replication(Election):
    """Leader and follower side of the log."""

    # Set before the library's constructor runs, which looks at every attribute.
    progress: dict[str, Progress] = {}

    def __init__(self, *args: Any) -> None:
        self.progress = {}
        # The leader's message number; every answer names the message it answers.
        self.seq = 0
        # index -> (term, request token) of proposals waiting to be applied here.
        self.waiters: dict[int, tuple[int, Any]] = {}
        # A read round waits for a broadcast (reads.py).
        self.broadcast_due = False
        # Somebody is to be told a commit index with the next step.
        self.news_due = False
        super().__init__(*args)

    # -- leading -------------------------------------------------------------------------------------------------
    def become_leader(self) -> None:
        """Take the lead: nobody's log is known yet; an entry of the own term is needed before anything commits."""
        self.role = LEADER
        self.leader = self.member
        self.forget_candidacy()
        self.progress = {member: self._new_progress() for member in sorted(self.peers)}
        self.noop_index = self.log.last_index + 1
        self.log.add(NOOP, self.noop_index, self.term)

    def _new_progress(self) -> Progress:
        return Progress(next=self.log.last_index + 1, heard_at=self.clock.now(), rewound=self.seq)

    def peers_changed(self) -> None:
        for member in sorted(self.progress.keys() - self.peers):
            del self.progress[member]
        if self.leading:
            for member in sorted(self.peers - self.progress.keys()):
                self.progress[member] = self._new_progress()

    def abdicated(self) -> None:
        """What was proposed may yet be committed by another leader: its outcome is unknown here."""
        for _, token in self.waiters.values():
            self.complete(token, LOST)
        self.waiters.clear()

    def append(self, data: bytes, token: Any = None) -> int:
        """Leader: put one entry at the end of the log. Returns its index."""
        index = self.log.last_index + 1
        self.log.add(data, index, self.term)
        if token is not None:
            self.waiters[index] = (self.term, token)
        if data[:1] == MEMBERSHIP:
            self.adopt_config(index, data)
        return index

    def advance_commit(self) -> None:
        """Commit what a majority of voters holds durably, if it is of this term."""
        held = [self.progress[member].match for member in self.config.voters if member in self.progress]
        if self.is_voter:
            held.append(self.log.durable_index)
        held.sort(reverse=True)
        index = held[self.config.quorum - 1] if len(held) >= self.config.quorum else 0
        if index > self.commit_index and self.log.term_at(index) == self.term:
            self._set_commit(index)
            if self.config_index <= index and not self.is_voter:
                self.become_follower(self.term)

    def _set_commit(self, index: int) -> None:
        self.commit_index = index
        self.log.setRaftCommitIndex(index)

    def has_majority_contact(self) -> bool:
        """Check-quorum: a majority of voters answered within one election timeout."""
        since = self.clock.now() - self.timing.election_max
        alive = sum(1 for m in self.config.voters if m in self.progress and self.progress[m].heard_at > since)
        return alive + (1 if self.is_voter else 0) >= self.config.quorum

    def replicate(self) -> None:
        """Send every connected peer what it lacks, or a heartbeat when one is due."""
        now = self.clock.now()
        self.seq += 1
        self.news_due = False
        shared: dict[int, tuple[Message, int, int]] = {}
        heartbeats: dict[int, Message] = {}
        connected = self.connected
        for member, progress in self.progress.items():
            if member not in connected:
                continue
            if progress.next <= self.log.base_index:
                self.send_snapshot(member, progress)
                sent = False
            else:
                # No transfer is under way to one who can be served from the log; a forgotten one would keep the
                # answers to heartbeats from being heard.
                progress.transfer = None
                sent = self._send_entries(member, progress, shared)
            commit = min(self.commit_index, progress.match)
            # A follower delivers what is committed: it is told with the next step, not with the next heartbeat that is
            # due. Not with this one: those who are answered now often ask again at once, and their entries tell it too.
            due = progress.news > progress.told or now - progress.sent_at >= self.timing.heartbeat
            if self.broadcast_due or (not sent and due):
                progress.told = commit
                if commit not in heartbeats:
                    heartbeats[commit] = {"type": "heartbeat", "term": self.term, "seq": self.seq, "commit": commit}
                self.send(member, heartbeats[commit])
                sent = True
            if sent:
                progress.sent_at = now
            if commit > progress.told:
                progress.news, self.news_due = commit, True
        self.broadcast_due = False

    def _send_entries(self, member: str, progress: Progress, shared: dict[int, tuple[Message, int, int]]) -> bool:
        """Fill the peer's window; `shared` holds the messages already built in this round, by first index."""
        sent = False
        while (
            progress.next <= self.log.last_index
            and progress.in_flight_bytes < WINDOW_BYTES
            and progress.next - progress.match <= WINDOW_ENTRIES
        ):
            if progress.next not in shared:
                shared[progress.next] = self._append_message(progress.next)
            message, last, size = shared[progress.next]
            self.send(member, message)
            progress.sent(last, size)
            progress.next = last + 1
            progress.appended = self.seq
            progress.told = min(self.commit_index, last)
            sent = True
        return sent

    def _append_message(self, first: int) -> tuple[Message, int, int]:
        entries: list[Entry] = []
        size = 0
        for entry in self.log.slice(first, BATCH_ENTRIES):
            size += len(entry[0])
            if entries and size > BATCH_BYTES:
                size -= len(entry[0])
                break
            entries.append(entry)
        message = {
            "type": "append_entries",
            "term": self.term,
            "seq": self.seq,
            "commit": self.commit_index,
            "prev_index": first - 1,
            "prev_term": self.log.term_at(first - 1),
            "entries": entries,
        }
        return message, entries[-1][1], size

    def peer_connected(self, member: str) -> None:
        super().peer_connected(member)
        if self.leading and member in self.progress:
            # What was in flight on the old connection is lost: go on after what was acknowledged, or with the snapshot
            # that was under way.
            progress = self.progress[member]
            known = progress.match or progress.transfer is not None
            progress.rewind(progress.match + 1 if known else self.log.last_index + 1, self.seq)
            self.reset_transfer(progress)

    # -- answers -------------------------------------------------------------------------------------------------
    def _progress_of(self, sender: str, message: Message) -> Progress | None:
        """The sender's progress if this answer counts: of this very reign, from a member."""
        if message["term"] > self.term:
            self.become_follower(message["term"])
        if not self.leading or message["term"] != self.term:
            return None
        progress = self.progress.get(sender)
        if progress is not None:
            progress.heard_at = self.clock.now()
            progress.echoed = max(progress.echoed, message["seq"])
        return progress

    def on_append_response(self, sender: str, message: Message) -> None:
        progress = self._progress_of(sender, message)
        if progress is None:
            return
        if message["ok"]:
            self._matched(progress, message["index"])
        elif message["seq"] > progress.rewound:
            progress.rewind(min(message["index"], self.log.last_index + 1), self.seq)
        self.confirm_reads()

    def on_heartbeat_response(self, sender: str, message: Message) -> None:
        progress = self._progress_of(sender, message)
        if progress is None:
            return
        end, term = message["last_index"], message["last_term"]
        if progress.transfer is None and message["seq"] > max(progress.appended, progress.rewound):
            # Everything sent before this heartbeat has arrived or is lost; the log's end over there tells which.
            if self.log.term_at(end) == term:
                # Equal logs up to there (log matching), so what is durable there counts, also when the
                # acknowledgement itself was lost.
                self._matched(progress, min(end, message["durable"]))
                if end < progress.next - 1:
                    progress.rewind(end + 1, self.seq)
            elif progress.match < progress.next - 1:
                # A different tail: probe there; the refusal names the place where the logs part.
                progress.rewind(min(end, progress.next - 1), self.seq)
        self.confirm_reads()

    @staticmethod
    def _matched(progress: Progress, index: int) -> None:
        if index > progress.match:
            progress.match = index
            progress.next = max(progress.next, index + 1)
            progress.acknowledged(index)

    # -- following -----------------------------------------------------------------------------------------------
    def _follow(self, sender: str, message: Message) -> bool:
        """Accept the sender as leader of its term, or tell it that its term is over."""
        if message["term"] < self.term:
            self.send(sender, {"type": "newer_term", "term": self.term})
            return False
        if message["term"] > self.term or self.role != FOLLOWER:
            if self.leading and message["term"] == self.term:
                raise self.fatal(f"{sender} claims to lead the term this node leads")
            self.become_follower(message["term"], sender)
        self.heard_from(sender)
        return True

    def on_heartbeat(self, sender: str, message: Message) -> None:
        if not self._follow(sender, message):
            return
        # The leader names only what it knows this node to hold durably, so the log's own end is a mere guard.
        self._follow_commit(min(message["commit"], self.log.last_index))
        self.send(
            sender,
            {
                "type": "heartbeat_response",
                "term": self.term,
                "seq": message["seq"],
                "last_index": self.log.last_index,
                "last_term": self.log.last_term,
                "durable": self.log.durable_index,
            },
        )

    def on_append_entries(self, sender: str, message: Message) -> None:
        if not self._follow(sender, message):
            return
        entries: tuple[Entry, ...] = message["entries"]
        previous, log = message["prev_index"], self.log
        matched = previous + len(entries)
        if previous < log.base_index:
            # At or below our base everything is committed and therefore equal: look only at what lies above.
            entries = entries[log.base_index - previous :]
        elif log.term_at(previous) != message["prev_term"]:
            self._respond(sender, message, ok=False, index=self._rewind_hint(previous))
            return
        self._take(entries)
        self._follow_commit(min(message["commit"], max(matched, log.base_index)))
        self._respond(sender, message, ok=True, index=max(matched, log.base_index))

    def _take(self, entries: tuple[Entry, ...]) -> None:
        """Add what is new. Cut only from the first entry that really conflicts."""
        log = self.log
        known = 0
        for _, index, term in entries:
            if log.term_at(index) != term:
                break
            known += 1
        if known < len(entries) and entries[known][1] <= log.last_index:
            if entries[known][1] <= self.commit_index:
                raise self.fatal(f"the leader asks to overwrite committed entry {entries[known][1]}")
            self._cut(entries[known][1])
        for data, index, term in entries[known:]:
            log.add(data, index, term)
            if data[:1] == MEMBERSHIP:
                self.adopt_config(index, data)

    def _cut(self, index: int) -> None:
        self.log.cut_from(index)
        self.cut_configs(index)
        for waiting in [at for at in self.waiters if at >= index]:
            self.complete(self.waiters.pop(waiting)[1], LOST)

    def _rewind_hint(self, previous: int) -> int:
        """Where the leader should go on: after our end, or at the first entry of the conflicting term."""
        log = self.log
        if previous > log.last_index:
            return log.last_index + 1
        term, index = log.term_at(previous), previous
        while index > max(log.base_index, self.commit_index) and log.term_at(index - 1) == term:
            index -= 1
        return max(index, self.commit_index + 1)

    def _respond(self, sender: str, message: Message, *, ok: bool, index: int) -> None:
        """An acknowledgement waits for the disk; a refusal promises nothing and leaves at once."""
        self.send(
            sender,
            {"type": "append_response", "term": self.term, "seq": message["seq"], "ok": ok, "index": index},
            after=self.log.lsn if ok else 0,
        )

    def _follow_commit(self, index: int) -> None:
        if index > self.commit_index:
            self._set_commit(index)

    # -- hooks ---------------------------------------------------------------------------------------------------
    def send_snapshot(self, member: str, progress: Progress) -> None:
        """Snapshot layer: the peer is behind the log's base."""

    def reset_transfer(self, progress: Progress) -> None:
        """Snapshot layer: a transfer goes on from what was acknowledged."""

    def confirm_reads(self) -> None:
        """Read layer: an answer may complete a round."""
