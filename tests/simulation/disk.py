"""A disk that loses what was not synced, under the real WAL code.

What is written lands in a cache; sync makes it durable; a crash keeps the durable bytes and a random prefix of what
was in the cache (a torn write). Names are durable once the folder is synced.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from node.raft import codec
from node.raft.ports import SnapshotMeta
from node.raft.walformat import SECTOR


class PlainCipher:
    """Stands in for AES-GCM: a keyed checksum is enough for the format's logic and ten times as fast."""

    def __init__(self, key: int) -> None:
        self.key = key

    def seal(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        return data + self._tag(number, data)

    def open(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        body, tag = data[:-16], data[-16:]
        if tag != self._tag(number, body):
            raise ValueError("does not open")
        return body

    def _tag(self, number: int, data: bytes) -> bytes:
        import zlib

        return b"%08x%08x" % (zlib.crc32(data, self.key & 0xFFFFFFFF), (number * 2654435761 + self.key) & 0xFFFFFFFF)


class PlainKeys:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def create(self, purpose: str) -> tuple[bytes, PlainCipher]:
        key = self.rng.getrandbits(32)
        return key.to_bytes(4, "big"), PlainCipher(key)

    def open(self, purpose: str, header: bytes) -> PlainCipher:
        return PlainCipher(int.from_bytes(header, "big"))


class MemoryFiles:
    """node.raft.files.Files in memory. `honest_sync=False` is a deliberate breakage for the mutation check."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.durable: dict[str, bytes] = {}
        self.cache: dict[str, bytearray] = {}
        self.synced_names: set[str] = set()
        self.handles: dict[int, str] = {}
        self.honest_sync = True

    def names(self) -> list[str]:
        return sorted(self.cache)

    def read(self, name: str) -> bytes:
        return bytes(self.cache[name])

    def create(self, name: str) -> int:
        assert name not in self.cache
        self.cache[name] = bytearray()
        handle = max(self.handles, default=2) + 1
        self.handles[handle] = name
        return handle

    def write(self, handle: int, data: bytes, offset: int) -> None:
        file = self.cache[self.handles[handle]]
        assert offset <= len(file)
        file[offset : offset + len(data)] = data

    def sync(self, handle: int) -> None:
        if self.honest_sync:
            name = self.handles[handle]
            self.durable[name] = bytes(self.cache[name])

    def truncate(self, handle: int, size: int) -> None:
        del self.cache[self.handles[handle]][size:]

    def cut(self, name: str, size: int) -> None:
        del self.cache[name][size:]
        self.durable[name] = bytes(self.cache[name])

    def unlink(self, name: str) -> None:
        del self.cache[name]

    def sync_names(self) -> None:
        self.synced_names = set(self.cache)
        self.durable = {name: data for name, data in self.durable.items() if name in self.cache}

    def close(self, handle: int) -> None:
        del self.handles[handle]

    def release(self) -> None: ...

    def crash(self) -> None:
        """Power is lost: keep what is durable, and of the newest writes a prefix, a prefix with a zeroed page, or
        nothing."""
        survivors: dict[str, bytearray] = {}
        for name in self.synced_names:
            kept = self.durable.get(name, b"")
            cached = bytes(self.cache.get(name, b""))
            if len(cached) > len(kept) and cached.startswith(kept) and self.rng.random() < 0.5:
                extra = bytearray(cached[len(kept) : self.rng.randint(len(kept), len(cached))])
                if extra and self.rng.random() < 0.3:
                    # A page that never arrived, although later ones did.
                    end = min(len(extra), SECTOR - (len(kept) % SECTOR))
                    extra[:end] = bytes(end)
                kept += bytes(extra)
            survivors[name] = bytearray(kept)
        self.cache = survivors
        self.durable = {name: bytes(data) for name, data in survivors.items()}
        self.handles.clear()


class MemorySnapshots:
    """node.raft.ports.SnapshotFiles in memory. A file is durable once saved or finished."""

    KEEP = 2

    def __init__(self) -> None:
        self.files: list[tuple[SnapshotMeta, bytes]] = []
        self._receiving: tuple[SnapshotMeta, bytearray] | None = None

    def latest(self) -> SnapshotMeta | None:
        return self.files[-1][0] if self.files else None

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        for kept, data in self.files:
            if kept == meta:
                return data[offset : offset + size]
        return b""

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        if self._receiving is None or self._receiving[0] != meta:
            self._receiving = (meta, bytearray())
        if offset == len(self._receiving[1]):
            self._receiving[1].extend(data)
        return len(self._receiving[1])

    def save(self, meta: SnapshotMeta, chunks: Iterable[bytes]) -> SnapshotMeta:
        data = codec.pack(tuple(chunks))
        import zlib

        written = SnapshotMeta(meta.index, meta.term, meta.config, len(data), zlib.crc32(data).to_bytes(4, "big"))
        self._place(written, data)
        return written

    def finish(self, meta: SnapshotMeta, machine: Any) -> Any:
        assert self._receiving is not None and self._receiving[0] == meta
        data = bytes(self._receiving[1])
        self._receiving = None
        state = machine.load(codec.unpack(data))
        self._place(meta, data)
        return state

    def _place(self, meta: SnapshotMeta, data: bytes) -> None:
        self.files = [*[f for f in self.files if f[0].index < meta.index], (meta, data)][-self.KEEP :]

    def load(self, machine: Any) -> None:
        if self.files:
            machine.adopt(machine.load(codec.unpack(self.files[-1][1])))

    def crash(self) -> None:
        self._receiving = None
