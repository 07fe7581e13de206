"""The log as the core sees it: entries in memory, and the ordered stream of operations that makes them durable.

Why it exists: Raft's promises are about what is on disk, its decisions about what is in memory. This keeps the two
apart: every change is applied in memory at once and queued as an operation with a number (LSN); whoever owns the disk
takes the operations in order, makes them durable and says up to which LSN it has done so. A message that promises
something leaves only when the LSN it depends on is durable (frame.py).
What it refuses to do: touch a file, reorder operations, or let the durable index claim an entry that was cut.

It is the library's Journal: position 0 is the base, the entry just before the first one held ("" at index 0 on a new
disk, the last compacted entry later), so the log is never empty and the library never adds an entry of its own.
"""

from __future__ import annotations

import collections
from typing import Any

from node.errors import Fatal
from node.raft.pinned import Journal
from node.raft.ports import Entry

# Operations, as they are written to the WAL (first item is the kind).
ADD = 1  # (ADD, index, term, data)
CUT = 2  # (CUT, index, term of the entry before): entries from index on are gone
HARD = 3  # (HARD, term, vote or None)
COMMIT = 4  # (COMMIT, index): a hint, clamped to what is there
RESET = 5  # (RESET, index, term): a snapshot replaced everything; the log restarts after index
Op = tuple[Any, ...]


class Log(Journal):
    """Entries base+1..last in memory plus the pending operations. One owner, no locks."""

    def __init__(self) -> None:
        self.entries: list[Entry] = [(b"", 0, 0)]
        self.term = 0
        self.vote: str | None = None
        self.commit_hint = 0
        self.bytes = 0
        self._ops: list[Op] = []
        self.lsn = 0
        self.durable_lsn = 0
        self.hard_lsn = 0
        self.durable_index = 0
        # (lsn, last index) at each hand-over to the disk, oldest first: what becomes durable when that LSN does.
        self._marks: collections.deque[list[int]] = collections.deque()
        self._hint_written = 0
        # When the oldest batch now at the disk was handed over (seconds), None when the disk is idle.
        self.disk_busy_since: float | None = None

    # -- what it holds -------------------------------------------------------------------------------------------
    @property
    def base_index(self) -> int:
        return self.entries[0][1]

    @property
    def base_term(self) -> int:
        return self.entries[0][2]

    @property
    def last_index(self) -> int:
        return self.entries[-1][1]

    @property
    def last_term(self) -> int:
        return self.entries[-1][2]

    def term_at(self, index: int) -> int | None:
        """Term of the entry at index, also of the base; None when it is not held."""
        position = index - self.entries[0][1]
        return self.entries[position][2] if 0 <= position < len(self.entries) else None

    def slice(self, first: int, count: int) -> list[Entry]:
        """Up to count entries from index first on (first must be above the base)."""
        position = first - self.entries[0][1]
        return self.entries[position : position + count]

    # -- changes -------------------------------------------------------------------------------------------------
    def _queue(self, op: Op) -> None:
        self.lsn += 1
        self._ops.append(op)

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append one entry (Journal interface: command, index, term)."""
        if idx != self.entries[-1][1] + 1:
            raise Fatal(f"log gap: entry {idx} after {self.entries[-1][1]}")
        self.entries.append((command, idx, term))
        self.bytes += len(command)
        self._queue((ADD, idx, term, command))

    def cut_from(self, index: int) -> None:
        """Drop the entries from index on, because the leader of a newer term has others there."""
        position = index - self.base_index
        if position <= 0:
            raise Fatal(f"asked to cut the log at {index}, at or below its base {self.base_index}")
        self.bytes -= sum(len(entry[0]) for entry in self.entries[position:])
        del self.entries[position:]
        self.durable_index = min(self.durable_index, index - 1)
        for mark in self._marks:
            mark[1] = min(mark[1], index - 1)
        self._queue((CUT, index, self.last_term))

    def compact_to(self, index: int) -> None:
        """Forget the entries up to index (it becomes the base). Only for what a durable snapshot covers."""
        position = index - self.base_index
        if position <= 0:
            return
        self.bytes -= sum(len(entry[0]) for entry in self.entries[1 : position + 1])
        command, base, term = self.entries[position]
        self.entries[: position + 1] = [(b"", base, term)]
        del command

    def reset(self, index: int, term: int) -> None:
        """Restart after a snapshot that covers index; nothing before it is held any more."""
        self.entries = [(b"", index, term)]
        self.bytes = 0
        self.durable_index = 0
        for mark in self._marks:
            mark[1] = 0
        self._queue((RESET, index, term))

    def replay(self, op: Op) -> None:
        """Apply one operation read back from the disk. Raises Fatal on a gap."""
        kind = op[0]
        if kind == ADD:
            _, index, term, data = op
            if index != self.last_index + 1:
                raise Fatal(f"the WAL holds entry {index} after {self.last_index}: entries are missing")
            self.entries.append((data, index, term))
            self.bytes += len(data)
        elif kind == CUT:
            position = op[1] - self.base_index
            self.bytes -= sum(len(entry[0]) for entry in self.entries[max(1, position) :])
            del self.entries[max(1, position) :]
            if position <= 0:
                # The oldest segment left begins with a tail that was cut later: its base lies lower.
                self.entries = [(b"", op[1] - 1, op[2])]
        elif kind == HARD:
            self.term, self.vote = op[1], op[2]
        elif kind == COMMIT:
            self.commit_hint = max(self.commit_hint, op[1])
        elif kind == RESET:
            self.entries, self.bytes = [(b"", op[1], op[2])], 0
            self.commit_hint = max(self.commit_hint, op[1])
        else:
            raise Fatal(f"the WAL holds an operation of unknown kind {kind}: written by a newer version?")

    def replayed(self) -> None:
        """All of the disk has been read: what is held is durable, and the commit hint lies within it."""
        self.durable_index = self.last_index
        self.commit_hint = self._hint_written = min(self.commit_hint, self.last_index)

    # -- durability ----------------------------------------------------------------------------------------------
    @property
    def pending(self) -> bool:
        """True when there are operations the disk has not been given."""
        return bool(self._ops)

    @property
    def hint_pending(self) -> bool:
        """True when a newer commit index than the written one would be worth a record of its own."""
        return self.commit_hint > self._hint_written

    def take_ops(self, now: float) -> tuple[list[Op], int]:
        """The operations for the next record, in order, and the LSN that is durable once they are."""
        ops, self._ops = self._ops, []
        if self.hint_pending:
            self._hint_written = min(self.commit_hint, self.last_index)
            ops.append((COMMIT, self._hint_written))
        self._marks.append([self.lsn, self.last_index])
        self.disk_busy_since = now
        return ops, self.lsn

    def made_durable(self, lsn: int) -> None:
        """Everything up to LSN is on disk."""
        while self._marks and self._marks[0][0] <= lsn:
            self.durable_index = max(self.durable_index, self._marks.popleft()[1])
        self.durable_lsn = max(self.durable_lsn, lsn)
        self.disk_busy_since = None

    # -- the rest of the library's Journal interface -------------------------------------------------------------
    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        self.term, self.vote = term, votedForNodeId
        self._queue((HARD, term, votedForNodeId))
        self.hard_lsn = self.lsn

    def getCurrentTerm(self) -> int:
        return self.term

    def getVotedForNodeId(self) -> str | None:
        return self.vote

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        self.commit_hint = raftCommitIndex

    def getRaftCommitIndex(self) -> int:
        return self.commit_hint

    def deleteEntriesFrom(self, entryFrom: int) -> None:
        self.cut_from(self.base_index + entryFrom)

    def deleteEntriesTo(self, entryTo: int) -> None:
        self.compact_to(self.base_index + entryTo)

    def clear(self) -> None:
        raise Fatal("the log is never cleared; a snapshot resets it")

    def __getitem__(self, item: Any) -> Any:
        return self.entries[item]

    def __len__(self) -> int:
        return len(self.entries)

    def _destroy(self) -> None:
        """Nothing to close: the disk belongs to the driver."""
