"""What the admin API asks of the rest of the node, as shapes.

Why it exists: the handlers see a few methods, not the packages behind them, so the same handlers run on a real cluster
and on one in-process store. What it refuses to do: hold behaviour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from node.admin.rights import Right
from node.clock import Clock
from node.store.records import Record
from node.tokens.person import Person
from sidecar.wire import messages


class RaftStatus(Protocol):
    """Where this node stands in the cluster. Indexes are log positions; the tuples hold node names."""

    @property
    def name(self) -> str: ...
    @property
    def member(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def leader(self) -> str | None: ...
    @property
    def term(self) -> int: ...
    @property
    def commit_index(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def last_index(self) -> int: ...
    @property
    def voters(self) -> tuple[str, ...]: ...
    @property
    def learners(self) -> tuple[str, ...]: ...
    @property
    def size(self) -> int: ...
    @property
    def connected(self) -> tuple[str, ...]: ...
    @property
    def quorum(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    @property
    def disk_ok(self) -> bool: ...


class Raft(Protocol):
    """Timeouts in seconds. All of them raise node.errors.Retry (no_quorum, unavailable) rather than wait longer."""

    async def propose(self, command: bytes, timeout: float) -> bytes: ...
    async def read_barrier(self, timeout: float) -> int: ...
    async def resize(self, size: int, timeout: float) -> int: ...
    async def wait_applied(self, index: int, timeout: float) -> bool: ...
    def status(self) -> RaftStatus: ...


class Store(Protocol):
    """The replicated map, to read from. Changes go through Raft only."""

    def get(self, name: str) -> Record | None: ...
    def answered(self, rid: bytes) -> bytes | None: ...
    def list(
        self, namespace: str | None = None, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Record]: ...
    def __len__(self) -> int: ...


class Keyring(Protocol):
    """Seals, and opens for node.admin.values. Raises Retry when this node knows no data key yet."""

    def seal_value(self, name: str, write_id: bytes, fields: Mapping[str, bytes]) -> tuple[int, bytes]: ...
    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> dict[str, bytes]: ...


class Gate(Protocol):
    """Who somebody is and what he may. Both raise node.errors.Retry when it cannot be known now, and neither waits for
    anything when the answer is known already."""

    async def who(self, token: str) -> Person:
        """Raises Rejected with the code unauthenticated or a token_* code."""

    async def may(self, person: Person, right: Right) -> bool: ...


class Receipt(Protocol):
    """What one sidecar last said to this node: `placed` maps "ns/name" to the version in its files; `want`: the names
    it asks for, empty for all that is granted. `since_ms`: when its stream began, or ended if it is not `connected` any
    more."""

    @property
    def pod(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def serviceaccount(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def since_ms(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def placed(self) -> Mapping[str, int]: ...
    @property
    def want(self) -> Collection[str]: ...
    @property
    def error(self) -> str: ...
    @property
    def connected(self) -> bool: ...
    @property
    def stale(self) -> bool: ...
    @property
    def at_ms(self) -> int: ...
    @property
    def agent(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def left(self) -> bool: ...
    @property
    def report(self) -> messages.Report | None: ...


class Standing(Protocol):
    """Where one pod stands with a secret: `reason` "" means that the newest version is in its files."""

    @property
    def reason(self) -> str: ...
    @property
    def counts(self) -> bool: ...
    def view(self) -> Mapping[str, object]: ...


class Sidecars(Protocol):
    """The sidecars of this node: the connected ones, and those that left it a short while ago."""

    def receipts(self) -> Iterable[Receipt]: ...

    def stats(self) -> Mapping[str, int]:
        """Numbers for metrics, by name; see node.admin.metrics for which of them are counters."""

    def rollout(self, record: Record) -> AsyncIterator[Standing]: ...


class Verdict(Protocol):
    """See node.delivery.explain; a dataclass, whose fields are the JSON."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


class Explainer(Protocol):
    """Which rule lets a workload have a secret, by the code that delivers it."""

    def one(self, namespace: str, serviceaccount: str, name: str) -> Verdict: ...
    def granted(
        self, namespace: str, serviceaccount: str, within: str, limit: int
    ) -> tuple[Sequence[Verdict], int]: ...


class AdminSettings(Protocol):
    """The part of node.settings.Settings that is read here."""

    @property
    def name(self) -> str: ...
    @property
    def cluster(self) -> str: ...
    @property
    def admin_rate(self) -> int: ...


class Sealing(Protocol):
    """Values sealed for git. `open` raises ValueError, whose text says why and may be shown."""

    @property
    def public(self) -> bytes: ...
    def open(self, name: str, field: str, sealed: str) -> bytes: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """Everything the admin API needs. `request_key`: 32 bytes, see node.admin.repeats. `deadline` is the time in
    seconds any request may take."""

    raft: Raft
    store: Store
    keyring: Keyring
    sealing: Sealing
    gate: Gate
    sidecars: Sidecars
    explainer: Explainer
    clock: Clock
    settings: AdminSettings
    request_key: bytes = dataclasses.field(repr=False)
    deadline: float = 5.0
