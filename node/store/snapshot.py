"""The state as msgpack chunks and back.

Why it exists: a snapshot is written while commands go on, so what it holds is fixed in a few ms (shallow copies of the
containers; the records never change) and packed later, chunk by chunk, in another thread.
What it refuses to do: load anything that is not whole and well-formed. A state that is wrong on one node would be wrong
for good, so it stops the node instead.

Format 1: the first chunk is the header map; each further chunk is an array of rows, at most ROWS of them and about
BYTES long. A row is an array whose first item is its kind: a record is followed by one row for each of its older
versions, so no row is much larger than the largest blob. The order is canonical: keys by generation, tombstones from
the oldest, records by name, sessions by log position. Equal states are equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgpack

from node.errors import Fatal
from node.store.loader import FORMAT, KEY, RECORD, SESSION, TOMBSTONE, VERSION, Loader
from node.store.records import Record
from node.store.state import State

ROWS: Final = 256
BYTES: Final = 256 << 10
MAX_CHUNK: Final = 4 << 20
"""Bytes: BYTES and one more row, the largest being a put of 1.1 MiB with 1.3 MiB of grants."""


def capture(state: State) -> Iterator[bytes]:
    """The chunks of the state as it is at the time of the call."""
    records, names, tombstones = state.records.copy(), state.names.copy(), list(state.tombstones.items())
    keys, sessions = sorted(state.keys.items()), state.sessions.rows()
    header = {
        "format": FORMAT,
        "index": state.index,
        "floor": state.floor,
        "keys": len(keys),
        "tombstones": len(tombstones),
        "records": len(names),
        "sessions": len(state.sessions),
    }

    def rows() -> Iterator[tuple[Any, ...]]:
        yield from ((KEY, *key) for key in keys)
        yield from ((TOMBSTONE, *tombstone) for tombstone in tombstones)
        for name in names:
            yield from _record_rows(records[name])
        yield from ((SESSION, *session) for session in sessions)

    return _chunks(header, rows())


def _record_rows(r: Record) -> Iterator[tuple[Any, ...]]:
    times = (r.created_ms, r.updated_ms, r.written_ms, r.not_before_ms, r.expires_ms)
    content = (r.fields, r.generation, r.write_id, r.sealed)
    yield (RECORD, r.name, r.version, *times, r.grants, *content, r.index, r.deleted, len(r.history))
    for v in r.history:
        yield (VERSION, v.version, v.created_ms, v.fields, v.generation, v.write_id, v.sealed)


def _chunks(header: dict[str, int], rows: Iterator[tuple[Any, ...]]) -> Iterator[bytes]:
    packer = msgpack.Packer(autoreset=True)
    yield packer.pack(header)
    packed: list[bytes] = []
    size = 0
    for row in rows:
        packed.append(packer.pack(row))
        size += len(packed[-1])
        if len(packed) >= ROWS or size >= BYTES:
            yield packer.pack_array_header(len(packed)) + b"".join(packed)
            packed, size = [], 0
    if packed:
        yield packer.pack_array_header(len(packed)) + b"".join(packed)


def load(chunks: Iterable[bytes]) -> State:
    """A new state. Raises Fatal if the chunks are not one whole snapshot of a format this version knows."""
    loader = Loader()
    for chunk in chunks:
        loader.feed(_unpack(chunk))
    return loader.finish()


def _unpack(chunk: bytes) -> Any:
    try:
        if len(chunk) > MAX_CHUNK:
            raise ValueError("too long")
        return msgpack.unpackb(chunk, use_list=False, max_map_len=32)
    except (ValueError, RecursionError, msgpack.UnpackException):
        pass
    raise Fatal("a chunk of the snapshot is not readable", hint="restore this node from another one or a backup")
