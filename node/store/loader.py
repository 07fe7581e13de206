"""Rows of a snapshot back into a state, each checked.

Why it exists: a snapshot comes from a disk or from a peer of another version; what is wrong in it must be found before
the state is in use, not when a secret is read.
What it refuses to do: guess. An unknown format or kind, a wrong type, a wrong order or a missing row is Fatal.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Final

from node.errors import Fatal
from node.store import commands
from node.store.records import Record, Version
from node.store.state import State
from sidecar.wire import names

FORMAT: Final = 1
KEY, TOMBSTONE, RECORD, VERSION, SESSION = range(5)
_WIDTHS: Final = (3, 3, 16, 7, 4)
"""Items of a row of each kind, the kind itself included."""
_COUNTS: Final = ("keys", "tombstones", "records", "sessions")


def _broken(what: str) -> Fatal:
    return Fatal(f"the snapshot is damaged: {what}", hint="restore this node from another one or a backup")


def _integer(value: object, low: int = 0) -> int:
    if type(value) is not int or not low <= value <= commands.MAX_INT:
        raise _broken("a number out of range")
    return value


def _moment(value: object) -> int | None:
    return None if value is None else _integer(value)


def _blob(value: object, high: int) -> bytes:
    if type(value) is not bytes or not 1 <= len(value) <= high:
        raise _broken("a blob of a wrong size")
    return value


def _secret(value: object) -> str:
    if not isinstance(value, str) or not names.is_secret(value):
        raise _broken("a name that is none")
    return value


def _fields(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, tuple) or not 1 <= len(value) <= names.MAX_FIELDS:
        raise _broken("fields that are none")
    out = tuple((_text(row[0]), _integer(row[1])) for row in value if isinstance(row, tuple) and len(row) == 2)
    if len(out) != len(value) or any(not names.is_field(name) for name, _ in out):
        raise _broken("a field that is none")
    return out


def _text(value: object) -> str:
    """One object for equal texts: most secrets share their few field names and grants."""
    if type(value) is not str:
        raise _broken("a text that is none")
    return sys.intern(value)


def _grants(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple):
        raise _broken("grants that are none")
    out = tuple(map(_text, value))
    if not all(map(commands.is_grant, out)) or list(out) != sorted(set(out)):
        raise _broken("a grant that is none, or out of order")
    return out


class Loader:
    """feed() every unpacked chunk in order, then finish()."""

    def __init__(self) -> None:
        self._state = State()
        self._expected: dict[str, int] | None = None
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._kind = 0
        self._record: tuple[Record, int] | None = None
        self._history: list[Version] = []

    def feed(self, chunk: Any) -> None:
        """Raises Fatal."""
        if self._expected is None:
            self._header(chunk)
            return
        if not isinstance(chunk, tuple):
            raise _broken("a chunk that is no list of rows")
        for row in chunk:
            self._row(row)

    def _row(self, row: Any) -> None:
        kind = row[0] if isinstance(row, tuple) and row else None
        if type(kind) is not int or not 0 <= kind < len(_WIDTHS) or len(row) != _WIDTHS[kind]:
            raise _broken("a row of an unknown kind")
        if kind < self._kind and not (kind == RECORD and self._kind == VERSION):
            raise _broken("rows out of order")
        self._kind = kind
        if kind != VERSION:
            self._close()
        (self._key, self._tombstone, self._add, self._version, self._session)[kind](row)

    def finish(self) -> State:
        """The state. Raises Fatal if something is missing."""
        self._close()
        if self._expected is None or self._counts != self._expected:
            raise _broken("it is not complete")
        return self._state

    def _header(self, header: Any) -> None:
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise Fatal(
                f"the snapshot is not of format {FORMAT}",
                hint="run the version that wrote it, or a newer one",
            )
        self._state.index = _integer(header.get("index"))
        self._state.floor = _integer(header.get("floor"))
        self._expected = {key: _integer(header.get(key)) for key in _COUNTS}

    def _key(self, row: tuple[Any, ...]) -> None:
        _, generation, wrapped = row
        if self._state.keys and _integer(generation) <= next(reversed(self._state.keys)):
            raise _broken("data keys out of order")
        self._state.keys[_integer(generation)] = _blob(wrapped, commands.MAX_WRAPPED)
        self._counts["keys"] += 1

    def _tombstone(self, row: tuple[Any, ...]) -> None:
        _, name, version = row
        if _secret(name) in self._state.tombstones:
            raise _broken("a name purged twice")
        self._state.tombstones[_secret(name)] = _integer(version, 1)
        self._counts["tombstones"] += 1

    def _add(self, row: tuple[Any, ...]) -> None:
        _, name, version, created, updated, written, begin, end, grants, *content, index, deleted, old = row
        fields, generation, write_id, sealed = content
        if (self._state.names and _secret(name) <= self._state.names[-1]) or name in self._state.tombstones:
            raise _broken("records out of order")
        if type(deleted) is not bool or _integer(index) > self._state.index:
            raise _broken("a record from the future")
        record = Record(
            name=_secret(name),
            version=_integer(version, 1),
            created_ms=_integer(created),
            updated_ms=_integer(updated),
            written_ms=_integer(written),
            not_before_ms=_moment(begin),
            expires_ms=_moment(end),
            grants=_grants(grants),
            fields=_fields(fields),
            generation=_integer(generation),
            write_id=_blob(write_id, commands.MAX_WRITE_ID),
            sealed=_blob(sealed, commands.MAX_SEALED),
            index=index,
            deleted=deleted,
            history=(),
        )
        self._record = (record, _integer(old))
        self._counts["records"] += 1

    def _version(self, row: tuple[Any, ...]) -> None:
        _, version, created, fields, generation, write_id, sealed = row
        if self._record is None:
            raise _broken("a version of no record")
        self._history.append(
            Version(
                version=_integer(version, 1),
                created_ms=_integer(created),
                fields=_fields(fields),
                generation=_integer(generation),
                write_id=_blob(write_id, commands.MAX_WRITE_ID),
                sealed=_blob(sealed, commands.MAX_SEALED),
            )
        )

    def _session(self, row: tuple[Any, ...]) -> None:
        _, index, rid, result = row
        if _integer(index) > self._state.index or type(rid) is not bytes or type(result) is not bytes:
            raise _broken("a session that is none")
        try:
            self._state.sessions.put(index, rid, result)
        except ValueError:
            raise _broken("sessions out of order") from None
        self._counts["sessions"] += 1

    def _close(self) -> None:
        """The record whose versions have all been read."""
        if self._record is None:
            return
        (record, expected), history = self._record, tuple(self._history)
        versions = [old.version for old in history] + [record.version]
        if len(history) != expected or versions != sorted(set(versions)):
            raise _broken("versions missing or out of order")
        if history:
            record = dataclasses.replace(record, history=history)
        self._state.put(record)
        self._record = None
        self._history = []
