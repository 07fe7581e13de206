"""What the store remembers of a secret: immutable records, and how much of it there may be.

Why it exists: a snapshot is written by another thread while commands go on being applied; that is safe without a lock
only because nothing here is ever changed in place.
What it refuses to do: open a sealed blob, judge validity (delivery does, at its own wall time), or show a blob in a
repr.
"""

from __future__ import annotations

import dataclasses
from typing import Final

OVERHEAD: Final = 64
"""Bytes charged beyond its letters for each field name and each grant: about what one more text costs in memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much one store takes. Every node must use the same: a refusal is part of the replicated result.

    `secrets`: names with a record, deleted ones included, as they take memory until they are purged.
    `stored_bytes`: sealed blobs of all versions, field names and grants together (`Record.weight`).
    `history`: older versions kept beside the current one. `grants`: a secret's, after a grant was added.
    `tombstones`: purged names whose highest version is remembered one by one. `keys`: generations of data keys.
    `sessions`: log positions during which a repeated request id gets its first answer.
    """

    secrets: int = 100_000
    stored_bytes: int = 1 << 30
    history: int = 10
    grants: int = 4096
    tombstones: int = 100_000
    keys: int = 1024
    sessions: int = 20_000


def _weight(sealed: bytes, fields: tuple[tuple[str, int], ...]) -> int:
    weight = len(sealed)
    for name, _ in fields:
        weight += len(name) + OVERHEAD
    return weight


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """The content of one older version. `fields` is (name, size of the value in bytes), sorted by name.

    `weight`: bytes counted against `Limits.stored_bytes`; reckoned once, since every later put asks for it."""

    version: int
    created_ms: int
    fields: tuple[tuple[str, int], ...]
    generation: int
    write_id: bytes = dataclasses.field(repr=False)
    sealed: bytes = dataclasses.field(repr=False)
    weight: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weight(self.sealed, self.fields))


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One secret. Times in ms since the epoch, as the proposers wrote them.

    `created_ms`: when the name was first put (since the last purge); `updated_ms`: last change of any kind;
    `written_ms`: when the current content became current. `index`: log index of the last change of any kind.
    `generation`: of the data key under which `sealed` is sealed. `history`: older versions, oldest first.
    `weight`: bytes counted against `Limits.stored_bytes`, history included.
    """

    name: str
    version: int
    created_ms: int
    updated_ms: int
    written_ms: int
    not_before_ms: int | None
    expires_ms: int | None
    grants: tuple[str, ...]
    fields: tuple[tuple[str, int], ...]
    generation: int
    write_id: bytes = dataclasses.field(repr=False)
    sealed: bytes = dataclasses.field(repr=False)
    index: int
    deleted: bool
    history: tuple[Version, ...] = dataclasses.field(repr=False)
    weight: int = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        weight = _weight(self.sealed, self.fields)
        for grant in self.grants:
            weight += len(grant) + OVERHEAD
        for old in self.history:
            weight += old.weight
        object.__setattr__(self, "weight", weight)

    def content(self) -> Version:
        """The current content in the shape of the history."""
        return Version(self.version, self.written_ms, self.fields, self.generation, self.write_id, self.sealed)

    def find(self, version: int) -> Version | None:
        """An older version, if it is still kept."""
        return next((old for old in self.history if old.version == version), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """`name` is not what it was; `index` is the log index of its last change (of the whole state after adopt)."""

    name: str
    index: int
