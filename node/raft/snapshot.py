"""Snapshot files: sealed in records, written aside and placed whole, two generations kept.

Why it exists: the log may forget only what a durable snapshot covers, and a member that lacks it takes the file as it
lies here. Written and read in a worker thread, piece by piece, never as one blob in memory.
What it refuses to do: place a file that is not complete, fsynced and verified; skip a record it cannot open; pass over
a broken newest snapshot in silence.

    file   = magic (8) | header length (2) | key header | record*
    record = length (4) | AES-256-GCM ciphertext, numbered from 0: meta, chunk*, end
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from node.errors import Fatal
from node.raft import codec
from node.raft.ports import FileKeys, SnapshotMeta, StateMachine

MAGIC = b"RSSNAP\0\1"
PURPOSE = "snapshot"
NAME = re.compile(r"snapshot-(\d{20})-(\d{10})\.rss")
KEEP = 2
# A chunk of state is at most about 2 MiB (one full secret and its history is the largest item); anything longer in a
# length field is damage.
MAX_RECORD = 64 << 20
_LENGTH = struct.Struct(">H")
_RECORD = struct.Struct(">I")
log = logging.getLogger("raft")


class BrokenSnapshot(Exception):
    """The file does not verify: which file and where, never what."""


def write(path: Path, keys: FileKeys, meta: SnapshotMeta, chunks: Iterable[bytes]) -> SnapshotMeta:
    """Write and fsync a snapshot at path; returns meta with size and digest filled in."""
    key_header, cipher = keys.create(PURPOSE)
    digest = hashlib.sha256()
    size = number = 0
    with path.open("wb", buffering=1 << 20) as out:
        os.chmod(path, 0o600)

        def put(data: bytes) -> None:
            nonlocal size
            out.write(data)
            digest.update(data)
            size += len(data)

        def put_record(kind: str, body: Any) -> None:
            nonlocal number
            sealed = cipher.seal(number, codec.pack((kind, body)))
            put(_RECORD.pack(len(sealed)) + sealed)
            number += 1

        put(MAGIC + _LENGTH.pack(len(key_header)) + key_header)
        put_record("meta", (meta.index, meta.term, meta.config))
        for chunk in chunks:
            put_record("chunk", chunk)
        put_record("end", number)
        out.flush()
        os.fsync(out.fileno())
    return SnapshotMeta(meta.index, meta.term, meta.config, size, digest.digest())


class _Reader:
    """Reads a file once, front to back: digest, meta and chunks. Raises BrokenSnapshot at the first thing wrong."""

    def __init__(self, file: BinaryIO, keys: FileKeys, name: str) -> None:
        self.file, self.keys, self.name = file, keys, name
        self.digest = hashlib.sha256()
        self.size = self.number = 0
        head = self._take(len(MAGIC) + _LENGTH.size)
        if head[: len(MAGIC)] != MAGIC:
            raise self._broken("it does not begin as a snapshot")
        self.cipher = keys.open(PURPOSE, self._take(_LENGTH.unpack_from(head, len(MAGIC))[0]))
        kind, (index, term, (voters, learners, members)) = self._record()
        if kind != "meta":
            raise self._broken("no meta record")
        self.meta = SnapshotMeta(index, term, (voters, learners, members), 0, b"")

    def _broken(self, why: str) -> BrokenSnapshot:
        return BrokenSnapshot(f"snapshot {self.name} is broken at byte {self.size}: {why}")

    def _take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise self._broken("it ends too early")
        self.digest.update(data)
        self.size += count
        return data

    def _record(self) -> tuple[str, Any]:
        length = _RECORD.unpack(self._take(_RECORD.size))[0]
        if length > MAX_RECORD:
            raise self._broken("a record is longer than any can be")
        try:
            kind, body = codec.unpack(self.cipher.open(self.number, self._take(length)))
        except ValueError:
            raise self._broken("a record does not open") from None
        self.number += 1
        return kind, body

    def chunks(self) -> Iterator[bytes]:
        while True:
            kind, body = self._record()
            if kind == "chunk":
                yield body
            elif kind == "end" and body == self.number - 1 and not self.file.read(1):
                return
            else:
                raise self._broken("it does not end as written")


def read(path: Path, keys: FileKeys, machine: StateMachine) -> tuple[SnapshotMeta, Any]:
    """Verify the whole file and load the state from it. Raises BrokenSnapshot."""
    with path.open("rb", buffering=1 << 20) as file:
        reader = _Reader(file, keys, path.name)
        state = machine.load(reader.chunks())
    meta = reader.meta
    return SnapshotMeta(meta.index, meta.term, meta.config, reader.size, reader.digest.digest()), state


class SnapshotFolder:
    """The snapshots of one node. `save` and `finish` block and belong to a worker thread; the rest is quick."""

    def __init__(self, folder: Path, keys: FileKeys) -> None:
        self.folder, self.keys = folder, keys
        self._latest: SnapshotMeta | None = None
        self._receiving: SnapshotMeta | None = None
        self._received = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in folder.glob("*.part"):
            leftover.unlink()

    def load(self, machine: StateMachine, log_base: int) -> None:
        """At start: the newest snapshot that verifies goes into the machine. An older one is taken only if the log
        still continues it (log_base at or below its end); else Fatal: acknowledged writes would be missing."""
        broken = ""
        for path in self._files():
            try:
                meta, state = read(path, self.keys, machine)
            except BrokenSnapshot as error:
                broken = str(error)
                log.error("%s; trying the one before", broken)
                continue
            if log_base > meta.index:
                break
            machine.adopt(state)
            self._latest = meta
            return
        if broken:
            raise Fatal(
                f"{broken}, and the log does not reach back to an older one",
                hint="restore the file, or delete this node's volume: it then rejoins empty and the others fill it",
            )

    def _files(self) -> list[Path]:
        """Placed snapshots, newest first."""
        found = [(m.group(1), m.group(2), p) for p in self.folder.iterdir() if (m := NAME.fullmatch(p.name))]
        return [path for _, _, path in sorted(found, reverse=True)]

    def _path(self, meta: SnapshotMeta) -> Path:
        return self.folder / f"snapshot-{meta.index:020d}-{meta.term:010d}.rss"

    # -- the port of the core ------------------------------------------------------------------------------------
    def latest(self) -> SnapshotMeta | None:
        return self._latest

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        try:
            with self._path(meta).open("rb") as file:
                return os.pread(file.fileno(), size, offset)
        except FileNotFoundError:
            return b""  # two newer ones have been taken meanwhile: the transfer starts over with the newest

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        """Take a piece of a peer's snapshot; returns the offset wanted next."""
        if meta != self._receiving:
            self._receiving, self._received = meta, 0
            self._part().unlink(missing_ok=True)
        if offset == self._received:
            try:
                handle = os.open(self._part(), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.seek(offset)
                    file.write(data)
            except OSError as error:
                # No room: the leader sends this piece again after its patience.
                log.error("a piece of a snapshot could not be written: %s", error.strerror)
                return self._received
            self._received += len(data)
        return self._received

    def _part(self) -> Path:
        return self.folder / "receiving.part"

    # -- in a worker thread --------------------------------------------------------------------------------------
    def save(self, meta: SnapshotMeta, chunks: Iterable[bytes]) -> SnapshotMeta:
        """Write this node's own snapshot and place it."""
        part = self.folder / "saving.part"
        try:
            written = write(part, self.keys, meta, chunks)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._place(part, written)
        return written

    def finish(self, meta: SnapshotMeta, machine: StateMachine) -> Any:
        """Verify and place the received file; returns the state in it. Raises BrokenSnapshot and forgets the file."""
        part = self._part()
        self._receiving = None
        try:
            found, state = read(part, self.keys, machine)
            if found != meta:
                raise BrokenSnapshot("the received snapshot is not the one announced")
            with part.open("rb") as file:
                os.fsync(file.fileno())
        except Exception:
            part.unlink(missing_ok=True)
            raise
        self._place(part, meta)
        return state

    def _place(self, part: Path, meta: SnapshotMeta) -> None:
        part.rename(self._path(meta))
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self._latest = meta
        for old in self._files()[KEEP:]:
            old.unlink()
