"""Who votes and who learns: the configurations in the log, one change at a time.

Why it exists: a member is its name plus the identity of its disk ("safe-0.4f1c…"), so that a wiped volume is a new
member whose forgotten votes can never be counted again. A configuration is in force from the moment it is appended
(thesis 4.1), also after a restart, and is undone when its entry is cut.
What it refuses to do: change two voters at once, start a change before the previous one and this term's first entry
are committed, or leave the cluster without voters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Set
from typing import Any

from node.errors import Fatal
from node.raft import codec
from node.raft.frame import Frame
from node.raft.log import Log
from node.raft.pinned import Node
from node.raft.ports import MEMBERSHIP, SnapshotFiles, SnapshotMeta, StateMachine


def name_of(member: str) -> str:
    """The pod name in a member id, which is also what its certificate says."""
    return member.partition(".")[0]


# More voters make every commit slower and survive little more.
MAX_SIZE = 9


@dataclasses.dataclass(frozen=True)
class Config:
    """Voters and learners by member id, each sorted; empty on a disk that has never been part of a cluster. `size`:
    how many pods the cluster is to have, those with the lowest ordinals; 0 as long as nobody has said."""

    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    size: int = 0

    @property
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def members(self) -> frozenset[str]:
        return frozenset(self.voters) | frozenset(self.learners)

    def wanted(self, configured: Iterable[str]) -> frozenset[str]:
        """Names of the pods the cluster is to have: what was decided by the log, else those configured."""
        if not self.size:
            return frozenset(configured)
        prefix = name_of(self.voters[0]).rpartition("-")[0]
        return frozenset(f"{prefix}-{ordinal}" for ordinal in range(self.size))

    def with_(
        self, voters: set[str] | None = None, learners: set[str] | None = None, size: int | None = None
    ) -> Config:
        return Config(
            tuple(sorted(self.voters if voters is None else voters)),
            tuple(sorted(self.learners if learners is None else learners)),
            self.size if size is None else size,
        )

    def packed(self) -> tuple[Any, ...]:
        return (self.voters, self.learners, self.size)

    def entry(self) -> bytes:
        return MEMBERSHIP + codec.pack(self.packed())

    @classmethod
    def parse(cls, entry: bytes) -> Config:
        voters, learners, size = codec.unpack(entry[1:])
        return cls(tuple(voters), tuple(learners), size)


def check_change(old: Config, new: Config) -> str:
    """Why `new` may not follow `old` in one step, or "" if it may: at most one voter comes or goes."""
    moved = set(old.voters) ^ set(new.voters)
    if not new.voters:
        return "a cluster needs at least one voter"
    if len(moved) > 1:
        return f"one voter at a time, not {len(moved)}"
    if new.size != old.size and (type(new.size) is not int or not 1 <= new.size <= MAX_SIZE):
        return f"a cluster has 1 to {MAX_SIZE} members"
    if set(new.voters) & set(new.learners):
        return "a member is a voter or a learner, not both"
    joining = moved & set(new.voters)
    if joining - set(old.learners):
        return "a voter must have been a learner before"
    return ""


class Membership(Frame):
    """Configurations in force. `configs` holds (index, Config) from the snapshot's base to the newest appended."""

    # The library's constructor looks at every attribute, properties included, before ours has filled this.
    configs: list[tuple[int, Config]] = [(0, Config())]

    def __init__(self, member: str, log: Log, machine: StateMachine, snapshots: SnapshotFiles, *rest: Any) -> None:
        super().__init__(member, log, machine, snapshots, *rest)
        latest = snapshots.latest()
        base = (latest.index, Config(*latest.config)) if latest is not None else (0, Config())
        self.configs = [base]
        for data, index, _ in log.entries[1:]:
            if data[:1] == MEMBERSHIP and index > base[0]:
                self.configs.append((index, Config.parse(data)))
        self.sync_peers()

    @property
    def config(self) -> Config:
        """The newest configuration appended, committed or not: the one in force."""
        return self.configs[-1][1]

    @property
    def config_index(self) -> int:
        return self.configs[-1][0]

    @property
    def is_voter(self) -> bool:
        return self.member in self.config.voters

    @property
    def blank(self) -> bool:
        """A disk that belongs to no cluster yet."""
        return not self.config.voters

    @property
    def peers(self) -> frozenset[str]:
        """Members other than this one, voters and learners."""
        return self.config.members - {self.member}

    def config_at(self, index: int) -> Config:
        """The configuration as of a log index, for a snapshot that ends there."""
        return next(config for at, config in reversed(self.configs) if at <= index)

    def adopt_config(self, index: int, entry: bytes) -> None:
        """A membership entry was appended: it is in force from now."""
        self.configs.append((index, Config.parse(entry)))
        self.sync_peers()

    def cut_configs(self, index: int) -> None:
        """Entries from index on were cut: so are the configurations in them."""
        while len(self.configs) > 1 and self.configs[-1][0] >= index:
            self.configs.pop()
        self.sync_peers()

    def rebase_configs(self, meta: SnapshotMeta) -> None:
        """A snapshot is the base now; later configurations that the log still holds stay in force."""
        later = [item for item in self.configs if item[0] > meta.index and self.log.term_at(item[0]) is not None]
        self.configs = [(meta.index, Config(*meta.config)), *later]
        self.sync_peers()

    def trim_configs(self, index: int) -> None:
        """The log was compacted to index: keep the newest configuration at or below it as the base."""
        while len(self.configs) > 1 and self.configs[1][0] <= index:
            self.configs.pop(0)

    def sync_peers(self) -> None:
        """Bring the library's and the leader's books in line with the configuration in force."""
        self._other_nodes.clear()
        self._other_nodes.update(Node(member) for member in self.peers)
        self.peers_changed()

    def peers_changed(self) -> None:
        """Replication layer: progress of members that came or went."""

    def refuse_change(self, new: Config) -> str:
        """Why this leader may not append `new` now, or ""."""
        if not self.leading or self.commit_index < self.noop_index:
            return "the leader's first entry is not committed yet"
        if self.config_index > self.commit_index:
            return "the previous change is not committed yet"
        return check_change(self.config, new)

    def refuses(self, name: str, configured: Set[str], known: int) -> str:
        """Why a peer of this name may not open the door, or "": it was removed, or never was a member.

        configured: names that are let in whatever the log says. known: log index of the newest configuration that the
        peer holds. One that knows more than is committed here is let in: it may be the leader of a cluster that has
        changed since, and nobody else could tell us.
        """
        committed = self.config_at(self.commit_index)
        if not committed.voters or known > self.commit_index or name in configured:
            return ""
        members = {name_of(member) for member in committed.members | self.config.members}
        if name in members or name in committed.wanted(configured):
            return ""
        return f"{name} is not a member of this cluster (configuration as of {self.commit_index})"

    def bootstrap(self, voters: tuple[str, ...]) -> None:
        """First start, once in a cluster's life: the full list of voters becomes entry 1 of a blank log.

        Raises Fatal when this disk is not blank or not in the list: only the disks that were seen blank may start.
        """
        if not self.blank or self.log.last_index != 0:
            raise Fatal("bootstrap refused: this disk already belongs to a cluster")
        if self.member not in voters:
            raise Fatal(f"bootstrap refused: {self.member} is not among {', '.join(voters)}")
        entry = Config(tuple(sorted(voters))).entry()
        self.log.add(entry, 1, 0)
        self.adopt_config(1, entry)
        self.postpone_election()

    def describe_members(self) -> dict[str, Any]:
        return {"voters": self.config.voters, "learners": self.config.learners, "index": self.config_index}
