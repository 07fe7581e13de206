"""The commands of the replicated log: what each holds, its limits, and its bytes.

Why it exists: a proposer builds one of these dataclasses, and one that breaks a limit cannot be built, so nothing that
every node would have to refuse ever costs a place in the log. The same checks run when a command is decoded.
What it refuses to do: decide what depends on stored data (node.store.transitions does, in the order of the log), read
a clock or draw an id, or quote a text it refuses: that may be a value in the wrong place.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final, TypeAlias

import msgpack

from node.errors import Rejected
from sidecar.wire import names

RID_SIZE: Final = 16
MAX_GRANTS: Final = 4096
MAX_SEALED: Final = names.MAX_SECRET_BYTES + (32 << 10)
"""Bytes: 1 MiB of values, 64 field names of 253 letters and what sealing adds."""
MAX_WRITE_ID: Final = 64
MAX_WRAPPED: Final = 1024
"""Bytes of a wrapped data key: 32 of key, the rest room for headers."""
MAX_ACTOR: Final = 512
"""Characters: the longest `system:serviceaccount:<namespace>:<name>` has 339."""
MAX_INT: Final = (1 << 53) - 1
"""The largest integer every JSON reader takes without loss; also the bound of times in ms."""
MAX_GENERATION: Final = (1 << 31) - 1
MAX_COMMAND: Final = 3 << 20
"""Bytes encoded: a put with the largest blob (1.1 MiB) and 4096 of the longest grants (1.3 MiB)."""
MAX_BATCH: Final = 256
"""Secrets in one batch: applying it is one step of the loop, some ms long."""


_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Spelled out: what counts as printable depends on the interpreter's Unicode tables, and nodes may differ there."""


class Keep(enum.Enum):
    """Leave this as it is (None would clear it). The value stands for it in a command's bytes."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


def _refuse(message: str, hint: str = "", code: str = "invalid") -> Rejected:
    return Rejected(message, code=code, hint=hint)


def _integer(value: object, low: int, high: int, what: str) -> None:
    if type(value) is not int or not low <= value <= high:
        raise _refuse(f"{what} is not a whole number from {low} to {high}")


def _blob(value: object, low: int, high: int, what: str) -> None:
    if type(value) is not bytes or len(value) < low:
        raise _refuse(f"{what} is not {low} or more bytes")
    if len(value) > high:
        raise _refuse(f"{what} has more than {high} bytes", code="too_large")


def _window(not_before_ms: int | Keep | None, expires_ms: int | Keep | None) -> None:
    for value, what in ((not_before_ms, "not_before_ms"), (expires_ms, "expires_ms")):
        if value is not None and value is not KEEP:
            _integer(value, 0, MAX_INT, what)
    if isinstance(not_before_ms, int) and isinstance(expires_ms, int) and expires_ms <= not_before_ms:
        raise _refuse("expires_ms is not after not_before_ms", "give the window an end after its beginning")


@functools.lru_cache(maxsize=4096)
def is_grant(text: str) -> bool:
    """`namespace/serviceaccount`, each part a name or `*` alone. Remembered: the same few stand in most commands."""
    namespace, slash, account = text.partition("/")
    one = "x" if namespace == "*" else namespace
    two = "x" if account == "*" else account
    return bool(slash) and names.is_secret(f"{one}/{two}")


def _grants(value: Iterable[str], low: int = 0) -> tuple[str, ...]:
    """Each once and sorted, so that equal sets are equal bytes."""
    out = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else None
    if out is None or not all(isinstance(grant, str) for grant in out):
        raise _refuse("grants is not a list of texts", "write for example payments/api")
    if len(out) > MAX_GRANTS:
        raise _refuse(f"there are more than {MAX_GRANTS} grants", "use * for the service account", "too_large")
    for position, grant in enumerate(out, start=1):
        if not is_grant(grant):
            hint = "namespace/serviceaccount, each part a Kubernetes name or * alone"
            raise _refuse(f"grant number {position} is not well-formed", hint)
    if len(out) < low:
        raise _refuse("there is no grant in the command", "name at least one")
    return out if len(out) < 2 else tuple(sorted(set(out)))


def _fields(value: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    out: list[tuple[str, int]] = []
    for pair in value if isinstance(value, (list, tuple)) else ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise _refuse("fields is not a list of (name, size)")
        if not names.is_field(pair[0]):
            raise _refuse(f"the name of field number {len(out) + 1} is not well-formed")
        _integer(pair[1], 0, MAX_INT, "the size of a field")
        out.append((pair[0], pair[1]))
    if len(dict(out)) != max(1, len(out)):
        raise _refuse("fields is empty or names one twice", "a plain value is the one field `value`")
    if len(out) > names.MAX_FIELDS:
        raise _refuse(f"there are more than {names.MAX_FIELDS} fields", "use several secrets", "too_large")
    if sum([size for _, size in out]) > names.MAX_SECRET_BYTES:
        raise _refuse(f"the values are larger than {names.MAX_SECRET_BYTES} bytes together", code="too_large")
    return tuple(sorted(out))


@functools.lru_cache(maxsize=1024)
def _is_actor(text: str) -> bool:
    return len(text) <= MAX_ACTOR and not _UNWRITABLE.search(text)


_set: Final = object.__setattr__
"""In a frozen command's own checks, which put it into its one form."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Base:
    """What every command has. `rid`: 16 bytes, the same for every retry of one request; `t`: the proposer's wall time
    in ms; `actor`: who asked. Building one raises Rejected (invalid, too_large)."""

    op: ClassVar[str] = ""
    rid: bytes = dataclasses.field(repr=False)
    t: int
    actor: str

    def __post_init__(self) -> None:
        if type(self.rid) is not bytes or len(self.rid) != RID_SIZE:
            raise _refuse(f"rid is not {RID_SIZE} bytes")
        _integer(self.t, 0, MAX_INT, "t")
        if not isinstance(self.actor, str) or not _is_actor(self.actor):
            raise _refuse(f"actor is not up to {MAX_ACTOR} characters without control characters")
        self._check()

    def _check(self) -> None:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Named(_Base):
    name: str

    def _check(self) -> None:
        if not isinstance(self.name, str) or not names.is_secret(self.name):
            raise _refuse(
                "the name of the secret is not well-formed",
                "namespace/name in lower case, for example payments/db-password",
            )
        self._more()

    def _more(self) -> None:
        """What else the command holds."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Guarded(_Named):
    """`if_version`: None any, else the version that must be current."""

    if_version: int | None = None

    def _more(self) -> None:
        if self.if_version is not None:
            _integer(self.if_version, 1, MAX_INT, "if_version")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Put(_Named):
    """A new version. `fields`: (name, size) each, kept sorted by name. `grants`: None keeps those there are.
    `if_version`: None any, 0 must not exist (a deleted one does not), else must be current. No window: always valid;
    KEEP: the bound there was, none for a new name."""

    op: ClassVar[str] = "put"
    fields: tuple[tuple[str, int], ...]
    generation: int
    write_id: bytes = dataclasses.field(repr=False)
    sealed: bytes = dataclasses.field(repr=False)
    grants: tuple[str, ...] | None = None
    if_version: int | None = None
    not_before_ms: int | Keep | None = None
    expires_ms: int | Keep | None = None

    def _more(self) -> None:
        _integer(self.generation, 0, MAX_GENERATION, "generation")
        _blob(self.write_id, 1, MAX_WRITE_ID, "write_id")
        _blob(self.sealed, 1, MAX_SEALED, "sealed")
        if self.if_version is not None:
            _integer(self.if_version, 0, MAX_INT, "if_version")
        if self.not_before_ms is not None or self.expires_ms is not None:
            _window(self.not_before_ms, self.expires_ms)
        _set(self, "fields", _fields(self.fields))
        if self.grants is not None:
            _set(self, "grants", _grants(self.grants))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PatchMeta(_Guarded):
    """Another window of validity for the current version: a time in ms, None for no bound, KEEP for the one it has."""

    op: ClassVar[str] = "patch_meta"
    not_before_ms: int | Keep | None = KEEP
    expires_ms: int | Keep | None = KEEP

    def _more(self) -> None:
        _Guarded._more(self)
        if self.not_before_ms is KEEP and self.expires_ms is KEEP:
            raise _refuse("there is nothing to change", "give not_before_ms, expires_ms or both")
        _window(self.not_before_ms, self.expires_ms)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Delete(_Guarded):
    """Nobody gets it any more; content, history and grants stay for undelete."""

    op: ClassVar[str] = "delete"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Undelete(_Named):
    """As it was before delete, under the same version."""

    op: ClassVar[str] = "undelete"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Purge(_Guarded):
    """Everything goes, deleted before or not, but the highest version, above which a later put begins."""

    op: ClassVar[str] = "purge"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Grant(_Named):
    """More grants; those already there are no error."""

    op: ClassVar[str] = "grant"
    grants: tuple[str, ...]

    def _more(self) -> None:
        _set(self, "grants", _grants(self.grants, low=1))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Revoke(_Named):
    """Fewer grants, by their exact text; those not there are no error."""

    op: ClassVar[str] = "revoke"
    grants: tuple[str, ...]

    def _more(self) -> None:
        _set(self, "grants", _grants(self.grants, low=1))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rollback(_Guarded):
    """A new version with the content of the older version `to`. Grants and window stay."""

    op: ClassVar[str] = "rollback"
    to: int

    def _more(self) -> None:
        _Guarded._more(self)
        _integer(self.to, 1, MAX_INT, "to")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AddKey(_Base):
    """One more data key, wrapped by the root key. The first to add a generation wins; any other gets conflict."""

    op: ClassVar[str] = "add_key"
    generation: int
    wrapped: bytes = dataclasses.field(repr=False)

    def _check(self) -> None:
        _integer(self.generation, 0, MAX_GENERATION, "generation")
        _blob(self.wrapped, 1, MAX_WRAPPED, "wrapped")


Part: TypeAlias = Put | PatchMeta | Grant | Revoke
_PARTS: Final = (Put, PatchMeta, Grant, Revoke)
_COMMON: Final = ("rid", "t", "actor")


def _expect(value: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Each name once and sorted."""
    out: list[tuple[str, int]] = []
    for pair in value if isinstance(value, (list, tuple)) else ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise _refuse("expect is not a list of (name, index)")
        if not names.is_secret(pair[0]):
            raise _refuse(f"name number {len(out) + 1} of the batch is not well-formed")
        _integer(pair[1], 0, MAX_INT, "an expected index")
        out.append((pair[0], pair[1]))
    if not out or len({name for name, _ in out}) != len(out):
        raise _refuse("the batch has no secret or names one twice")
    if len(out) > MAX_BATCH:
        raise _refuse(f"the batch has more than {MAX_BATCH} secrets", "make it several", "too_large")
    return tuple(sorted(out))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch(_Base):
    """Several changes, all of them or none. They were decided from what was known of each name in `expect`: the log
    index of its last change, 0 for a name without a record. If one differs, nothing is changed (conflict).

    Every change has the rid, t and actor of the batch, and a name that is expected."""

    op: ClassVar[str] = "batch"
    expect: tuple[tuple[str, int], ...]
    changes: tuple[Part, ...]

    def _check(self) -> None:
        _set(self, "expect", _expect(self.expect))
        expected = {name for name, _ in self.expect}
        if not isinstance(self.changes, tuple) or not 1 <= len(self.changes) <= 4 * MAX_BATCH:
            raise _refuse("the changes of the batch are not a tuple of a reasonable number")
        for change in self.changes:
            if not isinstance(change, _PARTS) or change.name not in expected:
                raise _refuse("the batch has a change that cannot be in one")
            if any(getattr(change, key) != getattr(self, key) for key in _COMMON):
                raise _refuse("a change in the batch has an id, time or actor of its own")


Command: TypeAlias = Put | PatchMeta | Delete | Undelete | Purge | Grant | Revoke | Rollback | AddKey | Batch


class _Shape:
    """What a kind of command is made of, worked out once: `fields` are (name, default)."""

    __slots__ = ("fields", "kind", "known", "required")

    def __init__(self, kind: type[Command]) -> None:
        self.kind = kind
        self.fields = tuple((field.name, field.default) for field in dataclasses.fields(kind))
        self.known = frozenset(name for name, _ in self.fields)
        self.required = frozenset(name for name, default in self.fields if default is dataclasses.MISSING)


_SHAPES: Final[dict[str, _Shape]] = {
    kind.op: _Shape(kind) for kind in (Put, PatchMeta, Delete, Undelete, Purge, Grant, Revoke, Rollback, AddKey, Batch)
}


def _body(command: Command) -> dict[str, Any]:
    body: dict[str, Any] = {"op": command.op}
    for name, default in _SHAPES[command.op].fields:
        value = getattr(command, name)
        if value is not default:
            body[name] = value.value if value is KEEP else value
    return body


def encode(command: Command) -> bytes:
    """The command as a msgpack map: "op", then the dataclass's fields by name. What is KEEP or None by default is left
    out, so None in a patch is a clear word and equal commands are equal bytes. The changes of a batch are such maps
    without what they share with it. Raises Rejected too_large, which only a batch can be."""
    body = _body(command)
    if isinstance(command, Batch):
        parts = map(_body, command.changes)
        body["changes"] = [{key: part[key] for key in part if key not in _COMMON} for part in parts]
    packed: bytes = msgpack.packb(body)
    if len(packed) > MAX_COMMAND:
        raise _refuse(f"the batch has more than {MAX_COMMAND} bytes", "make it several", "too_large")
    return packed


def decode(data: bytes) -> Command:
    """The command in `data`. Raises Rejected if it is none; an unknown key is none too, because a node that ignored
    what another one obeys would silently differ from it."""
    body: Any = None
    if len(data) <= MAX_COMMAND:
        try:
            body = msgpack.unpackb(data, use_list=False, max_map_len=32, max_array_len=MAX_GRANTS)
        except (ValueError, RecursionError, msgpack.UnpackException):
            body = None
    if not isinstance(body, dict):
        raise _refuse("the command is not a msgpack map of at most 3 MiB")
    changes = body.get("changes")
    if body.get("op") == Batch.op and isinstance(changes, tuple):
        body["changes"] = tuple(_part(part, body) for part in changes)
    return _built(body)


def _part(part: Any, batch: dict[str, Any]) -> Command:
    if not isinstance(part, dict) or not part.keys().isdisjoint(_COMMON):
        raise _refuse("a change in the batch is not a map of its own keys")
    if part.get("op") == Batch.op:
        raise _refuse("there is a batch in the batch")
    return _built(part | {key: batch[key] for key in _COMMON if key in batch})


def _built(body: dict[str, Any]) -> Command:
    op = body.pop("op", None)
    shape = _SHAPES.get(op) if isinstance(op, str) else None
    if shape is None:
        raise _refuse("the command has an op that this version does not know")
    if not shape.required <= body.keys() <= shape.known:
        raise _refuse(f"the keys of the {op} command are not those it has")
    for key in ("not_before_ms", "expires_ms"):
        if body.get(key) == KEEP.value:
            body[key] = KEEP
    return shape.kind(**body)
