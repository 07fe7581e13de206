"""The chain of the audit log: each line names its place and the line before, so that one that is missing shows.

Why it exists: an audit log that can be thinned out without a trace answers nothing. Each line gets, at its end,
`chain` (which start of which process), `seq` (0, 1, 2, ...), `prev` (hash of the line before) and `mac`.
`prev` is a plain hash, so everybody who has a copy sees what was lost on the way, without any key. Whoever may write
to the file could compute plain hashes anew; therefore `mac`, an HMAC (RFC 2104) under a key derived from the root key:
without that key no line can be changed, made or put elsewhere. In a file the first line of a start also names the last
line that was there before it (`last`), so that a whole start that was taken out shows as well.
What it refuses to do: prove that nothing was cut off at the end of everything. A planned stop ends the chain with a
line of its own, and the metric raftsafe_audit_lines_total says elsewhere how long it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from typing import Final

DIGITS: Final = 32
"""Hexadecimal digits of a hash or an HMAC: the first 128 bits of SHA-256. RFC 2104 (5) asks for as many of an HMAC.
`prev` has to withstand a second line for a given one (2^128 tries); two lines of equal hash (2^64) are of no use to
somebody who cannot choose what the node writes, with its time and the hash before."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Of one line: its chain, its number in it, and its hash."""

    chain: str
    seq: int
    hash: str


def hash_of(line: bytes) -> str:
    """The `prev` of the line after this one, which is whole and without its end of line."""
    return hashlib.sha256(line).hexdigest()[:DIGITS]


def last(text: bytes) -> Place | None:
    """The place of the last whole audit line in the end of a file; None if there is none."""
    for line in reversed(text.split(b"\n")):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("chain"), str) and type(found.get("seq")) is int:
            return Place(found["chain"], found["seq"], hash_of(line))
    return None


class Chain:
    """One chain. `name` is unique among all there ever are, for example node and random bytes of its start."""

    def __init__(self, name: str, key: bytes) -> None:
        self._name = name
        self._mac = hmac.new(key, digestmod=hashlib.sha256)
        self._prev = ""
        self.length = 0

    def add(self, line: str) -> str:
        """The line (a JSON object with at least one member) with its four links."""
        text = f'{line[:-1]}, "chain": "{self._name}", "seq": {self.length}, "prev": "{self._prev}"'
        mac = self._mac.copy()
        mac.update(text.encode())
        text = f'{text}, "mac": "{mac.hexdigest()[:DIGITS]}"}}'
        self._prev = hash_of(text.encode())
        self.length += 1
        return text

    def __repr__(self) -> str:
        return f"Chain({self._name}, {self.length} lines)"
