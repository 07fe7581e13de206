"""The chain of the audit log: each line names its place and the line before, so that one that is missing shows.

Why it exists: an audit log that can be thinned out without a trace answers nothing. Each line gets, at its end,
`chain` (which start of which process), `seq` (0, 1, 2, ...), `prev` (hash of the line before) and `mac`.
`prev` is a plain SHA-256, so everybody who has a copy sees what was lost on the way, without any key. Whoever may write
to the file could compute plain hashes anew; therefore `mac`, an HMAC (RFC 2104) under a key derived from the root key:
without that key no line can be changed, made or put elsewhere.
What it refuses to do: prove that nothing was cut off at the end. A planned stop ends the chain with a line of its own,
and the metric raftsafe_audit_lines_total says elsewhere how long it is.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

DIGITS: Final = 32
"""Hexadecimal digits of a hash or an HMAC: 128 bits, as many as RFC 2104 (5) asks for at least."""


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
        self._prev = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        self.length += 1
        return text

    def __repr__(self) -> str:
        return f"Chain({self._name}, {self.length} lines)"
