"""What the core asks of the world, as shapes: state machine, snapshots, timing.

Why it exists: the core decides and never acts; whoever drives it (the asyncio shell, the simulator) supplies these.
What it refuses to do: hold any behaviour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol

# A log entry as the library stores it: (kind byte + payload, index, term).
Entry = tuple[bytes, int, int]
Message = dict[str, Any]

# First byte of an entry; the values are the library's own _COMMAND_TYPE.
REGULAR = b"\0"
NOOP = b"\1"
MEMBERSHIP = b"\2"


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds. Checked in node.settings; argued in node/raft/DESIGN.md."""

    heartbeat: float = 0.05
    election_min: float = 0.25
    election_max: float = 0.5
    disk_stall: float = 1.0
    transfer: float = 1.0


@dataclasses.dataclass(frozen=True)
class SnapshotMeta:
    """What a snapshot covers: everything up to `index` of `term`, with the membership as of `index` (voters, learners,
    wanted size).

    `size` is the sealed file's length in bytes and `digest` its SHA-256: together the identity of one transfer.
    """

    index: int
    term: int
    config: tuple[tuple[str, ...], tuple[str, ...], int]
    size: int
    digest: bytes

    def packed(self) -> tuple[Any, ...]:
        return (self.index, self.term, self.config, self.size, self.digest)

    @classmethod
    def parse(cls, data: tuple[Any, ...]) -> SnapshotMeta:
        index, term, (voters, learners, members), size, digest = data
        return cls(index, term, (tuple(voters), tuple(learners), members), size, digest)


class Clock(Protocol):
    """Monotonic seconds and jitter; the only door for both."""

    def now(self) -> float: ...
    def uniform(self, low: float, high: float) -> float: ...


class StateMachine(Protocol):
    """The replicated map. Deterministic; an exception from apply means broken state and stops the node."""

    def apply(self, index: int, command: bytes) -> bytes: ...
    def capture(self) -> Iterable[bytes]: ...
    def load(self, chunks: Iterable[bytes]) -> Any: ...
    def adopt(self, state: Any) -> None: ...


class SnapshotFiles(Protocol):
    """The durable snapshot of this node, readable in pieces for peers that need it, and the one being received."""

    def latest(self) -> SnapshotMeta | None: ...
    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        """A piece of that file; empty when it is no longer kept."""
        ...

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        """Take a piece; returns the offset wanted next (meta.size when complete)."""
        ...


class Cipher(Protocol):
    """AES-256-GCM under one key of one file; `number` is the record's position and therefore the nonce."""

    def seal(self, number: int, data: bytes, aad: bytes = b"") -> bytes: ...
    def open(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        """Raises ValueError when the record is not what was sealed at this position."""
        ...


class FileKeys(Protocol):
    """A fresh key for every file, wrapped in a header that the file carries."""

    def create(self, purpose: str) -> tuple[bytes, Cipher]: ...
    def open(self, purpose: str, header: bytes) -> Cipher: ...
