"""Snapshots between members: sending the sealed file in pieces, and taking one over in place of the log.

Why it exists: a member that is behind the log's base, or brand new, needs the state itself. The sealed file travels as
it lies on the leader's disk; its identity is (index, term, size, digest), so that a connection lost in the middle goes
on at the acknowledged offset and never mixes two files.
What it refuses to do: acknowledge anything before the file is verified, fsynced and loaded (a stock follower answers
"success" for one it could not read); go back to an older state; take a commit index from a snapshot piece.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from node.raft.frame import LOST
from node.raft.ports import Message, SnapshotMeta
from node.raft.replication import Progress, Replication

CHUNK = 256 << 10
# Pieces in flight to one peer: 1 MiB keeps the disk and the wire busy and a heartbeat behind them prompt.
WINDOW = 4 * CHUNK


@dataclasses.dataclass
class Transfer:
    """Leader side: one snapshot on its way to one peer."""

    meta: SnapshotMeta
    sent: int = 0
    acked: int = 0
    moved_at: float = 0.0

    def again(self, now: float) -> None:
        """On from what is acknowledged. Of a file that is there whole the last piece is sent once more: what is missing
        is the word that it was installed, and nothing else would ask for it."""
        self.sent, self.moved_at = min(self.acked, max(0, self.meta.size - CHUNK)), now


class Install(Replication):
    """`installing` is the received snapshot that the driver is verifying and loading, if any."""

    installing: SnapshotMeta | None = None

    # -- sending -------------------------------------------------------------------------------------------------
    def send_snapshot(self, member: str, progress: Progress) -> None:
        meta = self.snapshots.latest()
        if meta is None:
            raise self.fatal("the log was compacted without a snapshot")
        transfer: Transfer | None = progress.transfer
        now = self.clock.now()
        if transfer is None:
            transfer = progress.transfer = Transfer(meta, moved_at=now)
        elif now - transfer.moved_at > self.timing.election_max * 2:
            # Pieces or answers were lost without the connection closing: again from what is acknowledged, or anew
            # if a newer snapshot has replaced the file meanwhile.
            if transfer.meta != meta:
                transfer = progress.transfer = Transfer(meta)
            transfer.again(now)
        while transfer.sent < transfer.meta.size and transfer.sent - transfer.acked < WINDOW:
            data = self.snapshots.read(transfer.meta, transfer.sent, CHUNK)
            if not data:
                progress.transfer = None
                return
            self.send(
                member,
                {
                    "type": "install_snapshot",
                    "term": self.term,
                    "seq": self.seq,
                    "meta": transfer.meta.packed(),
                    "offset": transfer.sent,
                    "data": data,
                },
            )
            transfer.sent += len(data)

    def reset_transfer(self, progress: Progress) -> None:
        transfer: Transfer | None = progress.transfer
        if transfer is not None:
            transfer.again(self.clock.now())

    def on_snapshot_response(self, sender: str, message: Message) -> None:
        progress = self._progress_of(sender, message)
        if progress is None or progress.transfer is None:
            return
        transfer: Transfer = progress.transfer
        if tuple(message["meta"]) != transfer.meta.packed():
            return
        transfer.moved_at = self.clock.now()
        if message["done"]:
            progress.transfer = None
            progress.match = max(progress.match, transfer.meta.index)
            progress.rewind(progress.match + 1, self.seq)
            return
        offset = message["offset"]
        if offset < transfer.acked or offset > transfer.sent:
            transfer.sent = offset
        transfer.acked = offset

    # -- receiving -----------------------------------------------------------------------------------------------
    def on_install_snapshot(self, sender: str, message: Message) -> None:
        if not self._follow(sender, message):
            return
        meta = SnapshotMeta.parse(message["meta"])
        if meta.index <= self.commit_index and meta.index <= self.last_applied:
            # Older than what is here: the state never goes back. What it covers is here already.
            self._respond_snapshot(sender, message, offset=meta.size, done=True)
            return
        if self.installing is not None:
            return  # answered by installed(); the leader's pieces of the same file are already complete
        offset = self.snapshots.receive(meta, message["offset"], message["data"])
        if offset >= meta.size:
            self.installing = self._install = meta
        self._respond_snapshot(sender, message, offset=offset, done=False)

    def _respond_snapshot(self, sender: str, message: Message, *, offset: int, done: bool) -> None:
        self.send(
            sender,
            {
                "type": "snapshot_response",
                "term": self.term,
                "seq": message["seq"],
                "meta": message["meta"],
                "offset": offset,
                "done": done,
            },
            after=self.log.lsn if done else 0,
        )

    def installed(self, meta: SnapshotMeta, state: Any) -> None:
        """The driver verified and placed the received snapshot durably and loaded `state` from it."""
        self.installing = None
        if meta.index > self.last_applied:
            self.machine.adopt(state)
            if self.log.term_at(meta.index) == meta.term:
                self.log.compact_to(meta.index)
            else:
                self.log.reset(meta.index, meta.term)
            self.rebase_configs(meta)
            self.last_applied = meta.index
            self.commit_index = max(self.commit_index, meta.index)
            self.log.setRaftCommitIndex(self.commit_index)
            for index in [at for at in self.waiters if at <= meta.index or at > self.log.last_index]:
                self.complete(self.waiters.pop(index)[1], LOST)
        if self.leader is not None and not self.leading:
            answer = {"seq": 0, "meta": meta.packed()}
            self._respond_snapshot(self.leader, answer, offset=meta.size, done=True)

    def install_failed(self) -> None:
        """The received file did not verify: forget it; the leader starts again after its patience."""
        self.installing = None

    # -- own snapshots -------------------------------------------------------------------------------------------
    def snapshot_saved(self, meta: SnapshotMeta, trail: int) -> None:
        """A snapshot of this node is durable: the log may forget what it covers, but for `trail` entries that let a
        member which was away for a moment catch up without a transfer."""
        keep_from = min(meta.index, max(self.log.base_index, meta.index - trail))
        self.log.compact_to(keep_from)
        self.trim_configs(keep_from)
