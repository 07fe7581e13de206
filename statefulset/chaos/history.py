"""What a run remembers: which writes were acknowledged, which were left open, and how versions must count them.

Why it exists: the writer only writes; what its acknowledgements promise is decided here, on plain data, so that made-up
histories can be judged too. What it refuses to do: guess about a write without an answer. It may have happened or not,
and both are allowed, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Secret:
    """`name`: namespace/name; `grants`: namespace/serviceaccount, each part may be "*"."""

    name: str
    fields: tuple[str, ...]
    grants: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Ack:
    """Write `number` of `secret` is version `version`. `begin`, `at`: wall clock, seconds."""

    secret: str
    number: int
    version: int
    begin: float
    at: float


def miscounted(acks: Iterable[Ack]) -> list[str]:
    """Versions say how often a secret was written: once for each acknowledged write, and for an open one once or not
    at all, however often it was sent. `acks` in their order; a secret's first write is number 1 of an empty history."""
    out, last, counted = [], dict[str, int](), dict[str, int]()
    for ack in acks:
        counted[ack.secret] = counted.get(ack.secret, 0) + 1
        if not counted[ack.secret] <= ack.version <= ack.number or ack.version <= last.get(ack.secret, 0):
            out.append(f"{ack.secret}: write {ack.number} became version {ack.version} after {last.get(ack.secret, 0)}")
        last[ack.secret] = ack.version
    return out


def misplaced(acks: Iterable[Ack], tried: Mapping[str, int], final: Mapping[str, int]) -> list[str]:
    """What the store says at the end against what it acknowledged. `tried`: secret -> writes sent; `final`: secret ->
    version, without those that are not there. A version below the last acknowledged one is a lost write; one that does
    not lie between the acknowledged and the sent writes is one that was applied twice or not at all."""
    out: list[str] = []
    newest: dict[str, int] = {}
    counted: dict[str, int] = {}
    for ack in acks:
        newest[ack.secret] = max(newest.get(ack.secret, 0), ack.version)
        counted[ack.secret] = counted.get(ack.secret, 0) + 1
    for secret, version in newest.items():
        found = final.get(secret, 0)
        if found < version:
            out.append(f"{secret}: version {version} was acknowledged, the store has {found or 'nothing'}")
        elif not counted[secret] <= found <= tried[secret]:
            out.append(f"{secret}: version {found} after {counted[secret]} acknowledged of {tried[secret]} writes")
    return out
