"""A map with versions and request ids, the least the checker needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from node.raft import codec


def put(rid: bytes, key: str, value: bytes) -> bytes:
    return codec.pack((rid, key, value))


def get(machine: Machine, key: str) -> tuple[int, bytes]:
    return machine.data.get(key, (0, b""))


class Machine:
    def __init__(self) -> None:
        self.data: dict[str, tuple[int, bytes]] = {}
        self.seen: dict[bytes, bytes] = {}

    def apply(self, index: int, command: bytes) -> bytes:
        rid, key, value = codec.unpack(command)
        if rid in self.seen:
            return self.seen[rid]
        version = self.data.get(key, (0, b""))[0] + 1
        self.data[key] = (version, value)
        self.seen[rid] = str(version).encode()
        return self.seen[rid]

    def capture(self) -> Iterable[bytes]:
        return [codec.pack((sorted(self.data.items()), sorted(self.seen.items())))]

    def load(self, chunks: Iterable[bytes]) -> Any:
        return [codec.unpack(chunk) for chunk in chunks][0]

    def adopt(self, state: Any) -> None:
        data, seen = state
        self.data = {k: tuple(v) for k, v in data}
        self.seen = dict(seen)
