"""The messages: what each carries, and what each field may be.

Why it exists: both ends build and read the same few shapes, and everything received is checked here once, so that the
code behind it may trust types, names and sizes. Unknown keys are ignored, so a newer peer may add some.
What it refuses to do: decide anything, or show a secret value or a token in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from sidecar.wire import checks, codes, frames

MAX_NUMBER: Final = checks.MAX_NUMBER
MAX_TOKEN: Final = 16 << 10
MAX_WORD: Final = 253
"""Codes, pod, node and agent names."""
MAX_TEXT: Final = 2048
"""One sentence of a message or a hint."""
MAX_DELAY_MS: Final = 3_600_000
"""No peer may send the other away for more than an hour."""


def _optional(body: checks.Body, key: str) -> str:
    """A word that a peer of the same protocol version may not know of yet: "" if it is not there."""
    return checks.text(body, key, MAX_WORD) if key in body else ""


@dataclass(frozen=True, slots=True)
class Hello:
    """Client, first. `have`: versions in place; `want`: empty asks for everything granted; `index`: highest placed.

    `store`: the identity of the store that `have` and `index` are of; "" if unknown, and then the key is left out.
    """

    TYPE: ClassVar[int] = 1
    versions: tuple[int, ...]
    token: str = field(repr=False)
    pod: str
    instance: str
    agent: str
    index: int = 0
    have: Mapping[str, int] = field(default_factory=dict)
    want: tuple[str, ...] = ()
    mode: str = "run"
    store: str = ""

    def to_body(self) -> dict[str, Any]:
        body = {
            "versions": list(self.versions),
            "token": self.token,
            "pod": self.pod,
            "instance": self.instance,
            "agent": self.agent,
            "index": self.index,
            "have": dict(self.have),
            "want": list(self.want),
            "mode": self.mode,
        }
        return {**body, "store": self.store} if self.store else body

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            versions=checks.versions_offered(body, "versions"),
            token=checks.text(body, "token", MAX_TOKEN, 1),
            pod=checks.text(body, "pod", MAX_WORD, 1),
            instance=checks.text(body, "instance", MAX_WORD, 1),
            agent=checks.text(body, "agent", MAX_WORD),
            index=checks.number(body, "index"),
            have=checks.versions(body, "have"),
            want=checks.secrets(body, "want"),
            mode=checks.word(body, "mode", ("run", "init"), "neither run nor init"),
            store=_optional(body, "store"),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a RECEIPT says besides, since version 2: how the pod fares with what is in place.

    `render`, `notify`: "" for fine, else what failed and why, without values. `notified`, `notify_failed`: how often
    since the sidecar started. `staleness_ms`: for how long it has not known itself in touch with the majority.
    """

    render: str = ""
    notify: str = ""
    notified: int = 0
    notify_failed: int = 0
    staleness_ms: int = 0

    def to_body(self) -> dict[str, Any]:
        return {
            "render": self.render,
            "notify": self.notify,
            "notified": self.notified,
            "notify_failed": self.notify_failed,
            "staleness_ms": self.staleness_ms,
        }

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            render=checks.text(body, "render", MAX_TEXT),
            notify=checks.text(body, "notify", MAX_TEXT),
            notified=checks.number(body, "notified"),
            notify_failed=checks.number(body, "notify_failed"),
            staleness_ms=checks.number(body, "staleness_ms"),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """Client: what is in place after a SYNC, or `error` (a code) if it could not be put there. `at_ms`: wall clock.

    `report`: None on a stream of version 1, which means unknown, not fine.
    """

    TYPE: ClassVar[int] = 2
    index: int
    placed: Mapping[str, int]
    error: str
    at_ms: int
    report: Report | None = Report()

    def to_body(self) -> dict[str, Any]:
        body = {"index": self.index, "placed": dict(self.placed), "error": self.error, "at_ms": self.at_ms}
        return body if self.report is None else {**body, **self.report.to_body()}

    @classmethod
    def from_body(cls, body: checks.Body, version: int = 2) -> Self:
        return cls(
            index=checks.number(body, "index"),
            placed=checks.versions(body, "placed"),
            error=checks.text(body, "error", MAX_WORD),
            at_ms=checks.number(body, "at_ms"),
            report=Report.from_body(body) if version >= 2 else None,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """Client: a fresh token of the same identity, before the one the stream was opened with expires."""

    TYPE: ClassVar[int] = 3
    token: str = field(repr=False)

    def to_body(self) -> dict[str, Any]:
        return {"token": self.token}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(token=checks.text(body, "token", MAX_TOKEN, 1))


@dataclass(frozen=True, slots=True)
class Bye:
    """Client: this stream ends on purpose."""

    TYPE: ClassVar[int] = 4

    def to_body(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Ping:
    """Both ways: answer with a Pong of the same `n`."""

    TYPE: ClassVar[int] = 8
    n: int

    def to_body(self) -> dict[str, Any]:
        return {"n": self.n}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(n=checks.number(body, "n"))


@dataclass(frozen=True, slots=True)
class Pong:
    """Both ways: the answer to a Ping."""

    TYPE: ClassVar[int] = 9
    n: int

    def to_body(self) -> dict[str, Any]:
        return {"n": self.n}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(n=checks.number(body, "n"))


@dataclass(frozen=True, slots=True)
class Welcome:
    """Node, first: the stream is open. `index`: what this node has applied; `heartbeat_ms`: idle time before a ping.

    `cluster`: its name, since version 2; "" if the node does not say. `store`: the identity of the history that
    `index` and all versions count in, "" if the node does not say, and then the key is left out.
    """

    TYPE: ClassVar[int] = 16
    version: int
    node: str
    index: int
    heartbeat_ms: int
    stale: bool
    cluster: str = ""
    store: str = ""

    def to_body(self) -> dict[str, Any]:
        body = {
            "version": self.version,
            "node": self.node,
            "index": self.index,
            "heartbeat_ms": self.heartbeat_ms,
            "stale": self.stale,
        }
        if self.version < 2:
            return body
        return {**body, "cluster": self.cluster} | ({"store": self.store} if self.store else {})

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        version = checks.number(body, "version", 1)
        return cls(
            version=version,
            cluster=checks.text(body, "cluster", MAX_WORD) if version >= 2 else "",
            store=_optional(body, "store") if version >= 2 else "",
            node=checks.text(body, "node", MAX_WORD),
            index=checks.number(body, "index"),
            heartbeat_ms=checks.number(body, "heartbeat_ms", 10, 60_000),
            stale=checks.flag(body, "stale"),
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """Node, first or at any time: the stream ends. `retry_ms` 0: the same call will fail again soon."""

    TYPE: ClassVar[int] = 17
    code: str
    message: str
    hint: str = ""
    retry_ms: int = 0

    def to_body(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "hint": self.hint, "retry_ms": self.retry_ms}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            code=checks.text(body, "code", MAX_WORD, 1),
            message=checks.text(body, "message", MAX_TEXT),
            hint=checks.text(body, "hint", MAX_TEXT),
            retry_ms=checks.number(body, "retry_ms", 0, MAX_DELAY_MS),
        )


@dataclass(frozen=True, slots=True)
class Secret:
    """Node: a version of a secret, part of the next Sync. `index`: log index of its last change."""

    TYPE: ClassVar[int] = 18
    name: str
    version: int
    index: int
    fields: Mapping[str, bytes] = field(repr=False)

    def to_body(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "index": self.index, "fields": dict(self.fields)}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            name=checks.name(body),
            version=checks.number(body, "version", 1),
            index=checks.number(body, "index"),
            fields=checks.fields(body),
        )

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(map(len, self.fields.values()))


@dataclass(frozen=True, slots=True)
class Gone:
    """Node: remove this one with the next Sync. `code` is one of codes.GONE."""

    TYPE: ClassVar[int] = 19
    name: str
    code: str

    def to_body(self) -> dict[str, Any]:
        return {"name": self.name, "code": self.code}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            name=checks.name(body), code=checks.word(body, "code", codes.GONE, "not a reason to remove a secret")
        )


@dataclass(frozen=True, slots=True)
class Sync:
    """Node: everything since the last Sync is one change; `full`: what was named on this stream is all there is."""

    TYPE: ClassVar[int] = 20
    index: int
    stale: bool
    full: bool

    def to_body(self) -> dict[str, Any]:
        return {"index": self.index, "stale": self.stale, "full": self.full}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(index=checks.number(body, "index"), stale=checks.flag(body, "stale"), full=checks.flag(body, "full"))


@dataclass(frozen=True, slots=True)
class Stale:
    """Node: whether it has lost touch with the majority, and so may miss newer writes."""

    TYPE: ClassVar[int] = 21
    stale: bool

    def to_body(self) -> dict[str, Any]:
        return {"stale": self.stale}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(stale=checks.flag(body, "stale"))


@dataclass(frozen=True, slots=True)
class Goaway:
    """Node: planned stop, go to another node and do not come back for `avoid_ms`."""

    TYPE: ClassVar[int] = 22
    reason: str
    avoid_ms: int

    def to_body(self) -> dict[str, Any]:
        return {"reason": self.reason, "avoid_ms": self.avoid_ms}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            reason=checks.text(body, "reason", MAX_TEXT), avoid_ms=checks.number(body, "avoid_ms", 0, MAX_DELAY_MS)
        )


@dataclass(frozen=True, slots=True)
class Denied:
    """Node: a wanted secret that cannot be served now, and why. Not a removal."""

    TYPE: ClassVar[int] = 23
    name: str
    code: str
    message: str

    def to_body(self) -> dict[str, Any]:
        return {"name": self.name, "code": self.code, "message": self.message}

    @classmethod
    def from_body(cls, body: checks.Body) -> Self:
        return cls(
            name=checks.name(body),
            code=checks.text(body, "code", MAX_WORD, 1),
            message=checks.text(body, "message", MAX_TEXT),
        )


ClientMessage = Hello | Receipt | Token | Bye | Ping | Pong
NodeMessage = Welcome | Refused | Secret | Gone | Sync | Stale | Goaway | Denied | Ping | Pong
Message = ClientMessage | NodeMessage

FROM_CLIENT: Final[dict[int, type[ClientMessage]]] = {
    kind.TYPE: kind for kind in (Hello, Receipt, Token, Bye, Ping, Pong)
}
FROM_NODE: Final[dict[int, type[NodeMessage]]] = {
    kind.TYPE: kind for kind in (Welcome, Refused, Secret, Gone, Sync, Stale, Goaway, Denied, Ping, Pong)
}


def pack(message: Message) -> bytes:
    """The frame of a message, ready for any number of streams. Raises ProtocolError if it is over MAX_FRAME."""
    return frames.encode(message.TYPE, message.to_body())
