"""Request bodies and queries, checked as strictly as they can be: types, unknown and double keys, sizes.

Why it exists: a mistyped key must be an error and not a setting that silently does nothing.
What it refuses to do: quote what it refuses. The caller's text may be a value in the wrong place, so messages name the
key they expected, a well-formed field name, or a position; and no exception raised here holds the body.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from node.errors import Rejected
from node.store.commands import KEEP, MAX_BATCH, Keep, is_grant
from sidecar.wire import names

MAX_BODY: Final = 2 << 20
"""Bytes: 1 MiB of values is 1.4 MiB of base64; names, grants and white space fit into the rest."""
MAX_INT: Final = (1 << 53) - 1
"""The largest integer every JSON reader takes without loss."""
MAX_PAGE: Final = 1000
"""Secrets in one answer of the list: about half a megabyte of JSON, some 10 ms of the loop."""
MAX_PREFIX: Final = 320
"""Characters; the longest namespace/name has 317."""


@dataclasses.dataclass(frozen=True, slots=True)
class PutBody:
    """A write as it was asked for. Times in milliseconds since the epoch. The values are not in the repr."""

    fields: Mapping[str, bytes] = dataclasses.field(repr=False)
    grants: tuple[str, ...] | None
    if_version: int | None
    not_before_ms: int | Keep | None
    expires_ms: int | Keep | None


@dataclasses.dataclass(frozen=True, slots=True)
class PatchBody:
    """A change of single fields; None removes one. A bound of the window: a time in ms, None for none, or KEEP."""

    fields: dict[str, bytes | None] = dataclasses.field(repr=False)
    if_version: int | None
    not_before_ms: int | Keep | None
    expires_ms: int | Keep | None


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """A secret as it is to be: exactly these fields; grants and bounds of the window if they are named. `sealed`: field
    -> text of `safe seal`, for the node to open; then `fields` is empty until it has."""

    name: str
    fields: dict[str, bytes] = dataclasses.field(repr=False)
    grants: tuple[str, ...] | None
    not_before_ms: int | Keep | None
    expires_ms: int | Keep | None
    sealed: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RollbackBody:
    to: int
    if_version: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class GrantsBody:
    add: tuple[str, ...]
    remove: tuple[str, ...]


class _Twice(Exception):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise _Twice
    return out


def _no_constant(_: str) -> Any:
    raise ValueError


_decoder: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)


def parse(data: bytes, known: Iterable[str]) -> dict[str, Any]:
    """The JSON object in `data`, which may have the `known` keys only. Raises Rejected invalid.

    The decoder's own exceptions hold the whole text, so they end inside this function and are no one's cause."""
    wrong, hint = "", ""
    value: Any = None
    try:
        value = _decoder.decode(data.decode("utf-8"))
    except _Twice:
        wrong, hint = "the body names a key twice", "each key and each field may stand there once"
    except UnicodeDecodeError:
        wrong, hint = "the body is not UTF-8", "values are base64; everything else is plain text"
    except json.JSONDecodeError as error:
        wrong, hint = f"the body is not JSON (line {error.lineno}, column {error.colno})", "see /v1/openapi.json"
    except (ValueError, RecursionError):
        wrong, hint = "the body is not JSON of a reasonable kind", "see /v1/openapi.json"
    if wrong:
        raise Rejected(wrong, hint=hint)
    if not isinstance(value, dict):
        raise Rejected("the body is not a JSON object", hint="it begins with { and ends with }")
    if not set(value) <= set(known):
        raise Rejected("the body has a key that does not exist", hint=f"the keys are: {', '.join(known)}")
    return value


def put(data: bytes) -> PutBody:
    """Raises Rejected: invalid, naming the key; too_large for values over 1 MiB together."""
    body = parse(data, ("fields", "grants", "if_version", "not_before_ms", "expires_ms", "keep_window"))
    keep = body.get("keep_window", False)
    if not isinstance(keep, bool):
        raise Rejected("keep_window is neither true nor false", hint="true: a bound that is not named stays as it is")
    fields = _fields(body.get("fields"))
    return PutBody(
        {name: _base64(name, text) for name, text in fields.items()},
        None if body.get("grants") is None else _grants(body["grants"], "grants"),
        _integer(body, "if_version"),
        _bound(body, "not_before_ms", keep=keep),
        _bound(body, "expires_ms", keep=keep),
    )


def patch(data: bytes) -> PatchBody:
    """Raises Rejected: invalid, naming the key; too_large."""
    body = parse(data, ("fields", "if_version", "not_before_ms", "expires_ms"))
    fields = _fields(body["fields"]) if "fields" in body else {}
    out = PatchBody(
        {name: None if text is None else _base64(name, text) for name, text in fields.items()},
        _integer(body, "if_version", 1),
        _bound(body, "not_before_ms", keep=True),
        _bound(body, "expires_ms", keep=True),
    )
    if not out.fields and out.not_before_ms is KEEP and out.expires_ms is KEEP:
        raise Rejected("there is nothing to change", hint='send for example {"fields": {"password": "<base64>"}}')
    return out


def apply(data: bytes) -> tuple[Declared, ...]:
    """Raises Rejected: invalid, naming the key and the number of the secret; too_large."""
    secrets = parse(data, ("secrets",)).get("secrets")
    if not isinstance(secrets, list) or not secrets:
        raise Rejected(
            "secrets is missing or is not a list of at least one", hint='{"secrets": [{"name": "a/b", ...}]}'
        )
    if len(secrets) > MAX_BATCH:
        raise Rejected(f"there are more than {MAX_BATCH} secrets", code="too_large", hint="make it several requests")
    out: dict[str, Declared] = {}
    for number, one in enumerate(secrets, start=1):
        wrong: Rejected | None = None
        try:
            declared = _declared(one)
        except Rejected as error:
            wrong = error
        if wrong is not None:
            raise Rejected(f"secret number {number}: {wrong.message}", code=wrong.code, hint=wrong.hint)
        if declared.name in out:
            raise Rejected(
                f"secret number {number} has the name of one before it", hint="each name may stand there once"
            )
        out[declared.name] = declared
    return tuple(out.values())


def _declared(one: object) -> Declared:
    known = ("name", "fields", "sealed", "grants", "not_before_ms", "expires_ms")
    if not isinstance(one, dict) or not set(one) <= set(known):
        raise Rejected("it is not an object with known keys", hint=f"the keys are: {', '.join(known)}")
    name = one.get("name")
    if not isinstance(name, str) or not names.is_secret(name):
        raise Rejected("the name is not well-formed", hint="namespace/name in lower case, for example payments/db")
    begin, end = _bound(one, "not_before_ms", keep=True), _bound(one, "expires_ms", keep=True)
    if isinstance(begin, int) and isinstance(end, int) and end <= begin:
        raise Rejected("expires_ms is not after not_before_ms", hint="give the window an end after its beginning")
    sealed = None
    if "sealed" in one:
        if "fields" in one:
            raise Rejected("fields and sealed are both there", hint="a secret is declared by the one or the other")
        sealed = _sealed(_fields(one["sealed"]))
    return Declared(
        name,
        {} if sealed else {field: _base64(field, text) for field, text in _fields(one.get("fields")).items()},
        None if one.get("grants") is None else _well_formed(_grants(one["grants"], "grants")),
        begin,
        end,
        sealed,
    )


def _sealed(texts: Mapping[str, object]) -> dict[str, str]:
    out = {}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise Rejected(f"sealed.{field} is not a text", hint="`safe seal` makes it")
        out[field] = text
    return out


def _well_formed(grants: tuple[str, ...]) -> tuple[str, ...]:
    for position, grant in enumerate(grants, start=1):
        if not is_grant(grant):
            hint = "namespace/serviceaccount, each part a Kubernetes name or * alone"
            raise Rejected(f"grant number {position} is not well-formed", hint=hint)
    return grants


def rollback(data: bytes) -> RollbackBody:
    """Raises Rejected invalid, naming the key."""
    body = parse(data, ("to", "if_version"))
    to = _integer(body, "to", 1)
    if to is None:
        raise Rejected("to is missing", hint="the older version to bring back; the history names those that are kept")
    return RollbackBody(to, _integer(body, "if_version", 1))


def grants(data: bytes) -> GrantsBody:
    """Raises Rejected invalid, naming the key."""
    body = parse(data, ("add", "remove"))
    out = GrantsBody(_grants(body.get("add", []), "add"), _grants(body.get("remove", []), "remove"))
    if not out.add and not out.remove:
        raise Rejected("add and remove are both empty", hint='send for example {"add": ["payments/api"]}')
    if set(out.add) & set(out.remove):
        raise Rejected("a grant stands in add and in remove", hint="decide for one of them")
    return out


def members(data: bytes) -> int:
    """How many members the cluster is to have. Raises Rejected invalid, naming the key."""
    size = _integer(parse(data, ("size",)), "size", 1)
    if size is None:
        raise Rejected("size is missing", hint='send for example {"size": 5}')
    return size


def _fields(value: object) -> dict[str, Any]:
    """Field name -> whatever stands there; the names are good ones."""
    if not isinstance(value, dict) or not value:
        raise Rejected(
            "fields is missing or is not an object with at least one field",
            hint='send for example {"fields": {"value": "<base64>"}}',
        )
    if len(value) > names.MAX_FIELDS:
        raise Rejected(f"fields has more than {names.MAX_FIELDS} fields", code="too_large", hint="use several secrets")
    size = 0
    for position, (name, text) in enumerate(value.items(), start=1):
        if not names.is_field(name):
            raise Rejected(
                f"the name of field number {position} is not well-formed",
                hint="1 to 253 letters, digits, '.', '_' and '-', starting with a letter or digit, without '..'",
            )
        size += len(text) // 4 * 3 - text.count("=", -2) if isinstance(text, str) else 0
    if size > names.MAX_SECRET_BYTES:
        raise Rejected(
            f"the values are larger than {names.MAX_SECRET_BYTES} bytes together",
            code="too_large",
            hint="a secret holds keys and credentials; encrypt larger data with a key from here and keep it elsewhere",
        )
    return value


def _base64(name: str, text: object) -> bytes:
    """Standard alphabet, padded, canonical: what does not encode back to the same text was cut or changed."""
    decoded: bytes | None = None
    if isinstance(text, str):
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            decoded = None
        if decoded is not None and text[-4:] != base64.b64encode(decoded[-(len(decoded) % 3 or 3) :]).decode()[-4:]:
            decoded = None
    if decoded is None:
        raise Rejected(
            f"fields.{name} is not base64",
            hint='the standard alphabet (A-Z a-z 0-9 + /) with = at the end, no line breaks; an empty value is ""',
        )
    return decoded


def _grants(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Rejected(f"{key} is not a list", hint='write for example ["payments/api"]')
    for position, grant in enumerate(value, start=1):
        if not isinstance(grant, str) or len(grant) > MAX_PREFIX:
            raise Rejected(f"{key}: entry number {position} is not a text", hint='write for example ["payments/api"]')
    return tuple(value)


def _integer(body: Mapping[str, Any], key: str, low: int = 0) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # 3.0 is a whole number to JSON Schema
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= MAX_INT:
        raise Rejected(f"{key} is not a whole number from {low}", hint="times are milliseconds since 1970 (UTC)")
    return value


def _bound(body: Mapping[str, Any], key: str, *, keep: bool) -> int | Keep | None:
    """`keep`: a bound that is not named stays."""
    return KEEP if keep and key not in body else _integer(body, key)


def query(request: web.Request, *known: str) -> dict[str, str]:
    """The query, each key once and known. Raises Rejected invalid."""
    if not request.rel_url.raw_query_string:
        return {}
    out = dict(request.query)
    if len(out) != len(request.query) or not set(out) <= set(known):
        keys = ", ".join(known) or "none"
        raise Rejected("the query has a key that does not exist, or one twice", hint=f"the keys are: {keys}")
    if any(len(value) > MAX_PREFIX for value in out.values()):
        raise Rejected("the query has a value that is too long", hint=f"at most {MAX_PREFIX} characters")
    return out


def query_integer(values: Mapping[str, str], key: str, low: int, high: int) -> int | None:
    """A decimal number of the query between `low` and `high`, None without it. Raises Rejected invalid."""
    text = values.get(key)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not low <= int(text) <= high:
        raise Rejected(f"{key} is not a whole number from {low} to {high}", hint="write it in decimal digits")
    return int(text)


def query_flag(values: Mapping[str, str], key: str) -> bool:
    text = values.get(key, "false")
    if text not in ("true", "false"):
        raise Rejected(f"{key} is neither true nor false", hint="write it in lower case, or leave it out: false")
    return text == "true"


def query_local(values: Mapping[str, str]) -> bool:
    """Whether the caller takes this node's own copy. Raises Rejected invalid."""
    text = values.get("consistency", "linearizable")
    if text not in ("local", "linearizable"):
        raise Rejected("consistency is neither linearizable nor local", hint="leave it out: linearizable")
    return text == "local"
