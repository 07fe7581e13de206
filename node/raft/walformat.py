"""The bytes of a WAL segment: header, sealed records, and the judgement of a damaged end.

Why it exists: a torn last write is what a crash leaves and is cut away; anything else that does not open is damage and
must stop the node, since cutting it would forget acknowledged writes. That judgement is here, pure and tested.
What it refuses to do: touch a file, or skip a record.

    segment = magic (8) | header length (2) | key header | crc32 of all before (4) | record*
    record  = length (4) | number (4) | crc32 of these two (4) | AES-256-GCM ciphertext

A record's number is its nonce and counts from 0, so a dropped, swapped or repeated record does not open. The first
operation of record 0 is START, which repeats the node's durable state and names the tail of the segment before, so a
segment cannot be dropped or swapped either. Losing whole records at the very end of the last segment cannot be seen
from the file itself; the other members' logs reveal and heal it.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

from node.errors import Fatal
from node.raft import codec
from node.raft.log import ADD, COMMIT, CUT, HARD, RESET, Op
from node.raft.ports import Cipher, FileKeys

MAGIC = b"RSWAL\0\0\1"
PURPOSE = "wal"
_LENGTH = struct.Struct(">H")
_CRC = struct.Struct(">I")
_RECORD = struct.Struct(">III")
# A crash leaves unwritten pages as zeros (etcd's rule for telling a torn record from a damaged one).
SECTOR = 512

START = 0  # (START, member, term, vote, last index, last term, commit hint, tail of the previous segment)


@dataclasses.dataclass
class Segment:
    """What a segment file held: operation batches, how many bytes are good, and the tag its last record ends with."""

    batches: list[list[Op]]
    good: int
    tail: bytes
    torn: bool


def header(key_header: bytes) -> bytes:
    """The first bytes of a new segment."""
    head = MAGIC + _LENGTH.pack(len(key_header)) + key_header
    return head + _CRC.pack(zlib.crc32(head))


def record(cipher: Cipher, number: int, ops: list[Op]) -> bytes:
    """One sealed batch."""
    sealed = cipher.seal(number, codec.pack(ops))
    head = struct.pack(">II", len(sealed), number)
    return head + _CRC.pack(zlib.crc32(head)) + sealed


def _parse_header(data: bytes) -> tuple[bytes, int] | None:
    """Key header and offset of the first record; None when the header is not whole."""
    fixed = len(MAGIC) + _LENGTH.size
    if len(data) < fixed or data[: len(MAGIC)] != MAGIC:
        return None
    end = fixed + _LENGTH.unpack_from(data, len(MAGIC))[0]
    if len(data) < end + _CRC.size or _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    return data[fixed:end], end + _CRC.size


def _read_record(data: bytes, offset: int, number: int, cipher: Cipher) -> tuple[list[Op], int] | None:
    """The batch at offset and where it ends; None when there is no whole record of this number."""
    if offset + _RECORD.size > len(data):
        return None
    length, found, crc = _RECORD.unpack_from(data, offset)
    start = offset + _RECORD.size
    if crc != zlib.crc32(data[offset : offset + 8]) or found != number or start + length > len(data):
        return None
    try:
        ops = codec.unpack(cipher.open(number, data[start : start + length]))
    except ValueError:
        return None
    return [tuple(op) for op in ops], start + length


def _has_later(data: bytes, offset: int, number: int, cipher: Cipher) -> bool:
    """Is there a whole record of a higher number anywhere from offset on? Each was durable before the next was
    written, so it proves that what stands before it was whole once, however much of that is gone."""
    highest = number + (len(data) - offset) // _RECORD.size
    for at in range(offset, len(data) - _RECORD.size + 1):
        found = _RECORD.unpack_from(data, at)[1]
        if number < found <= highest and _read_record(data, at, found, cipher) is not None:
            return True
    return False


def _is_torn(data: bytes, offset: int, number: int, cipher: Cipher) -> bool:
    """Is the rest a write that a crash cut short (and not a durable record that was damaged)?"""
    rest = len(data) - offset
    if rest < _RECORD.size:
        return True
    length, found, crc = _RECORD.unpack_from(data, offset)
    whole_head = crc == zlib.crc32(data[offset : offset + 8]) and found == number
    if whole_head and length > rest - _RECORD.size:
        return True
    # The write is as long as it should be, or its head is damaged: torn only if a page of it never arrived, and
    # nothing after it was written.
    if _has_later(data, offset + 1, number, cipher):
        return False
    start = offset
    while start < len(data):
        end = min(len(data), (start // SECTOR + 1) * SECTOR)
        if not any(data[start:end]):
            return True
        start = end
    return False


def read(data: bytes, keys: FileKeys, name: str, *, last: bool) -> Segment | None:
    """Parse a segment. None: a last segment that was never finished being created.

    Raises Fatal, naming file and offset, for anything but a torn end of the last segment.
    """
    parsed = _parse_header(data)
    if parsed is None:
        if last and (len(data) < 512 or not any(data)):
            return None
        raise damaged(name, 0)
    key_header, offset = parsed
    cipher = keys.open(PURPOSE, key_header)
    segment = Segment([], offset, b"", torn=False)
    while segment.good < len(data):
        found = _read_record(data, segment.good, len(segment.batches), cipher)
        if found is None:
            if not (last and _is_torn(data, segment.good, len(segment.batches), cipher)):
                raise damaged(name, segment.good)
            segment.torn = True
            break
        batch, end = found
        segment.batches.append(batch)
        segment.tail, segment.good = data[end - 16 : end], end
    if not segment.batches:
        if last:
            return None
        raise damaged(name, offset)
    if segment.batches[0][0][0] != START:
        raise damaged(name, offset)
    return segment


def damaged(name: str, offset: int) -> Fatal:
    """The one message for a WAL that must not be read on."""
    return Fatal(
        f"WAL segment {name} is damaged at byte {offset}; nothing was changed",
        hint="restore the file, or delete this node's volume: the node then rejoins empty and the others fill it",
    )


@dataclasses.dataclass
class End:
    """The durable state at the end of what is written: what the START of the next segment repeats."""

    term: int = 0
    vote: str | None = None
    index: int = 0
    at_term: int = 0
    commit: int = 0

    def note(self, ops: list[Op]) -> None:
        """Follow a batch that is being written."""
        for op in ops:
            if op[0] == ADD:
                self.index, self.at_term = op[1], op[2]
            elif op[0] == CUT:
                self.index, self.at_term = op[1] - 1, op[2]
            elif op[0] == HARD:
                self.term, self.vote = op[1], op[2]
            elif op[0] == COMMIT:
                self.commit = op[1]
            elif op[0] == RESET:
                self.index, self.at_term = op[1], op[2]

    def start_op(self, member: str, tail: bytes) -> Op:
        """The operation that opens a segment, continuing from the tail of the one before."""
        return (START, member, self.term, self.vote, self.index, self.at_term, self.commit, tail)
