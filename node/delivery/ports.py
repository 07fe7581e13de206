"""What delivery asks of its neighbours, as shapes: a store to read, a keyring to open values, an identity.

Why it exists: the hub is tested against the real store and against hostile ones, and neither hub nor server needs more
of them than this. What it refuses to do: hold code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Record(Protocol):
    """One secret as the store keeps it; times in ms since the epoch, `index` the log index of its last change."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def deleted(self) -> bool: ...
    @property
    def not_before_ms(self) -> int | None: ...
    @property
    def expires_ms(self) -> int | None: ...
    @property
    def grants(self) -> tuple[str, ...]: ...
    @property
    def generation(self) -> int: ...
    @property
    def write_id(self) -> bytes: ...
    @property
    def sealed(self) -> bytes: ...


class Change(Protocol):
    """A name whose record is not what it was."""

    @property
    def name(self) -> str: ...


class Source(Protocol):
    """The applied state of this node. Reads are local and never wait."""

    @property
    def index(self) -> int: ...
    def get(self, name: str) -> Record | None: ...
    def list(
        self, namespace: str | None = None, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Record]: ...
    def drain_changes(self) -> Sequence[Change]: ...


class Opener(Protocol):
    """The keyring. Raises when a value cannot be opened; the message is never shown to a sidecar."""

    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> Mapping[str, bytes]: ...


class Identity(Protocol):
    """Who a verified token speaks for. `expires`: seconds since the epoch; `pod`: None if the token is not bound."""

    @property
    def namespace(self) -> str: ...
    @property
    def serviceaccount(self) -> str: ...
    @property
    def pod(self) -> str | None: ...
    @property
    def expires(self) -> float: ...
