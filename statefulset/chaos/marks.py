"""What the writer puts into a file, so that a reader can tell from the bytes alone which file and which write it sees.

Why it exists: torn, mixed and stale files can only be told from whole ones by content that says what it should be.
What it refuses to do: accept bytes that are not exactly one write of exactly this file.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

SPREAD: Final = 1500
"""Files are of different sizes from write to write, so that the rest of a longer one would show."""


class Wrong(Exception):
    """These bytes are no whole write of this file."""


def content(file: str, number: int) -> bytes:
    """The bytes of `file` ("ns/name/field") in write `number`, from 1."""
    seed = hashlib.sha256(f"{file} {number}".encode()).digest()
    size = int.from_bytes(seed[:4], "big") % SPREAD
    filler = (seed.hex().encode() * (size // 64 + 1))[:size]
    body = b"%s %d %d\n%s\n" % (file.encode(), number, size, filler)
    return body + b"%08x\n" % zlib.crc32(body)


def number_of(file: str, data: bytes) -> int:
    """Which write of `file` this is. Raises Wrong."""
    head, _, _ = data.partition(b"\n")
    words = head.split(b" ")
    if len(words) != 3 or words[0] != file.encode() or not words[1].isdigit():
        raise Wrong(f"not the beginning of {file}" if data else "empty")
    number = int(words[1])
    if data != content(file, number):
        raise Wrong(f"begins as write {number} and is not all of it ({len(data)} bytes)")
    return number
