"""Linearizable reads by ReadIndex (thesis 6.4): no lease, one broadcast for all waiting readers.

Why it exists: a read must see every write acknowledged before it began, also when a new leader took over that this
node has not heard of. The leader notes its commit index, proves by a round of answers that it still leads, and the
reader waits until that index is applied.
What it refuses to do: answer before this term's first entry is committed (the commit index of a new leader may lag
behind what its predecessor acknowledged), or use time as proof.
"""

from __future__ import annotations

import collections
from typing import Any

from node.raft.frame import LOST, READ, REFUSED
from node.raft.install import Install


class Reads(Install):
    """`waiting` readers get a round with the next broadcast; `rounds` are (seq, commit index, tokens), oldest first."""

    def __init__(self, *args: Any) -> None:
        self.waiting: list[Any] = []
        self.rounds: collections.deque[tuple[int, int, list[Any]]] = collections.deque()
        super().__init__(*args)

    def read(self, token: Any) -> None:
        """Ask for an index to read at; answered by a completion READ, LOST or REFUSED."""
        if not self.leading:
            self.complete(token, REFUSED, "not the leader")
            return
        self.waiting.append(token)

    def start_round(self) -> None:
        """Before a broadcast: readers that came meanwhile ride on it."""
        if self.waiting and self.commit_index >= self.noop_index:
            self.rounds.append((self.seq + 1, self.commit_index, self.waiting))
            self.waiting = []
            self.broadcast_due = True

    def confirm_reads(self) -> None:
        """Answer the rounds whose broadcast a majority has answered."""
        if not self.rounds:
            return
        echoed = [self.progress[m].echoed for m in self.config.voters if m in self.progress]
        if self.is_voter:
            echoed.append(self.seq)
        echoed.sort(reverse=True)
        if len(echoed) < self.config.quorum:
            return
        proven = echoed[self.config.quorum - 1]
        while self.rounds and self.rounds[0][0] <= proven:
            _, index, tokens = self.rounds.popleft()
            for token in tokens:
                self.complete(token, READ, index)

    def abdicated(self) -> None:
        super().abdicated()
        for token in self.waiting:
            self.complete(token, LOST)
        for _, _, tokens in self.rounds:
            for token in tokens:
                self.complete(token, LOST)
        self.waiting = []
        self.rounds.clear()
