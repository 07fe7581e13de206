"""The checks of single fields of a message: type, size, spelling.

Why it exists: what arrives is checked by the same few lines for every message. Each takes body and key and returns the
value. What it refuses to do: repair or convert a value, or quote it: ProtocolError names the key and the rule.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from sidecar.wire import names
from sidecar.wire.frames import ProtocolError

MAX_NUMBER: Final = (1 << 63) - 1
MAX_VERSIONS: Final = 16

Body = Mapping[str, Any]


def number(body: Body, key: str, low: int = 0, high: int = MAX_NUMBER) -> int:
    value = body.get(key)
    if type(value) is not int or not low <= value <= high:  # `type is`: True is an int to isinstance
        raise ProtocolError(f"{key} is not an integer from {low} to {high}")
    return value


def text(body: Body, key: str, high: int, low: int = 0) -> str:
    value = body.get(key)
    if type(value) is not str or not low <= len(value) <= high:
        raise ProtocolError(f"{key} is not a string of {low} to {high} characters")
    return value


def flag(body: Body, key: str) -> bool:
    value = body.get(key)
    if type(value) is not bool:
        raise ProtocolError(f"{key} is not true or false")
    return value


def name(body: Body, key: str = "name") -> str:
    value = body.get(key)
    if type(value) is not str or not names.is_secret(value):
        raise ProtocolError(f"{key} is not namespace/name")
    return value


def versions(body: Body, key: str) -> dict[str, int]:
    value = body.get(key)
    if type(value) is not dict or len(value) > names.MAX_SECRETS:
        raise ProtocolError(f"{key} is not a map of at most {names.MAX_SECRETS} names")
    for each, version in value.items():
        if type(each) is not str or not names.is_secret(each):
            raise ProtocolError(f"{key} is not a map of namespace/name to version")
        if type(version) is not int or not 1 <= version <= MAX_NUMBER:
            raise ProtocolError(f"{key} is not a map of namespace/name to version")
    return value


def fields(body: Body) -> dict[str, bytes]:
    value = body.get("fields")
    if type(value) is not dict or not 1 <= len(value) <= names.MAX_FIELDS:
        raise ProtocolError(f"fields is not a map of 1 to {names.MAX_FIELDS} entries")
    total = 0
    for key, data in value.items():
        if type(key) is not str or not names.is_field(key) or type(data) is not bytes:
            raise ProtocolError("fields is not a map of field names to bytes")
        total += len(data)
    if total > names.MAX_SECRET_BYTES:
        raise ProtocolError(f"a secret of {total} bytes is over the limit of {names.MAX_SECRET_BYTES}")
    return value


def versions_offered(body: Body, key: str) -> tuple[int, ...]:
    """Protocol versions."""
    value = body.get(key)
    if type(value) is not list or not 1 <= len(value) <= MAX_VERSIONS:
        raise ProtocolError(f"{key} is not a list of 1 to {MAX_VERSIONS}")
    if not all(type(version) is int and 1 <= version <= MAX_NUMBER for version in value):
        raise ProtocolError(f"{key} is not a list of positive integers")
    return tuple(value)


def secrets(body: Body, key: str) -> tuple[str, ...]:
    value = body.get(key)
    if type(value) is not list or len(value) > names.MAX_SECRETS:
        raise ProtocolError(f"{key} is not a list of at most {names.MAX_SECRETS}")
    if not all(type(name) is str and names.is_secret(name) for name in value):
        raise ProtocolError(f"{key} is not a list of namespace/name")
    return tuple(value)


def word(body: Body, key: str, known: Container[str], rule: str) -> str:
    """One of `known`; `rule` says so if it is not."""
    value = body.get(key)
    if type(value) is not str or value not in known:
        raise ProtocolError(f"{key} is {rule}")
    return value
