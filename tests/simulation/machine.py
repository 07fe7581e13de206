"""The real store as the simulated state machine, and the clients' words for it."""

from __future__ import annotations

import hashlib

import msgpack

from node.store import commands
from node.store.fsm import Store


def put(rid: bytes, key: str, value: bytes) -> bytes:
    """A put whose sealed bytes are the value itself: the store never looks into them."""
    rid = hashlib.sha256(rid).digest()[: commands.RID_SIZE]
    return commands.encode(
        commands.Put(
            rid=rid,
            t=0,
            actor="client",
            name=f"sim/{key}",
            fields=(("value", len(value)),),
            generation=1,
            write_id=rid,
            sealed=value,
            grants=("sim/web",),
        )
    )


def version_of(result: bytes) -> int:
    answer = msgpack.unpackb(result)
    assert answer["ok"], answer
    return int(answer["version"])


def get(machine: Store, key: str) -> tuple[int, bytes]:
    record = machine.get(f"sim/{key}")
    return (0, b"") if record is None else (record.version, record.sealed)
