"""Says of what was read in one pod whether an application could have been harmed: missing, torn, mixed, older.

Why it exists: the reader only reads; the rules are here, without files or clocks, so that made-up histories can show
that each of them bites. What it refuses to do: forgive. The one thing it leaves out is a look that took so long that
the folder may have been replaced, and swept, meanwhile: the reader says so, and such looks are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal

from statefulset.chaos import marks

SWEPT: Final = 0.1
"""Seconds between resolving a folder and reading in it, after which the generation may be gone: it stays for a second,
and at ten swaps a second for the last four of them."""
MAX_CACHED: Final = 4096

Kind = Literal["missing", "torn", "mixed", "older"]


@dataclasses.dataclass(frozen=True)
class Violation:
    """`at`: wall clock, seconds."""

    kind: Kind
    pod: str
    what: str
    at: float


class Pod:
    """One pod's files over time. `seen`: secret -> [(write, when in place)], each write once, growing."""

    def __init__(
        self, name: str, secrets: Mapping[str, tuple[str, ...]], known: dict[bytes, int] | None = None
    ) -> None:
        self.name = name
        self.secrets = secrets
        self.seen: dict[str, list[tuple[int, float]]] = {secret: [] for secret in secrets}
        self.violations: list[Violation] = []
        self.discarded = 0
        self._known = known if known is not None else {}
        self._last: dict[str, list[bytes | None]] = {}

    def look(self, secret: str, found: list[bytes | None], took: float, placed: float, at: float) -> None:
        """All fields of one secret, read in one folder: bytes, or None for a file that is not there. `took`: seconds
        since the folder was resolved; `placed`: when what is in force was put there."""
        if found == self._last.get(secret):
            return
        if None in found and took > SWEPT:
            self.discarded += 1
            return
        before = self.seen[secret][-1][0] if self.seen[secret] else 0
        if None in found:
            if before or any(data is not None for data in found):
                self._violated("missing", f"{secret}: {sum(data is None for data in found)} files of it", at)
            return
        numbers = set()
        for field, data in zip(self.secrets[secret], found, strict=True):
            assert data is not None
            try:
                numbers.add(self._number(f"{secret}/{field}", data))
            except marks.Wrong as error:
                self._violated("torn", f"{secret}/{field}: {error}", at)
                return
        if len(numbers) > 1:
            self._violated("mixed", f"{secret}: writes {sorted(numbers)} in one folder", at)
            return
        (number,) = numbers
        if number < before:
            self._violated("older", f"{secret}: write {number} after write {before}", at)
            return
        self._last[secret] = found
        if number > before:
            self.seen[secret].append((number, placed))

    def gone(self, what: str, at: float) -> None:
        """The mount has no set in force, although it had one."""
        self._violated("missing", what, at)

    def _violated(self, kind: Kind, what: str, at: float) -> None:
        self.violations.append(Violation(kind, self.name, what, at))

    def _number(self, file: str, data: bytes) -> int:
        """Two hundred pods hold the same bytes: each is taken apart once. The bytes name their file themselves."""
        number = self._known.get(data)
        if number is None or not data.startswith(file.encode() + b" "):
            number = marks.number_of(file, data)
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[data] = number
        return number
