"""Client history and its check: a small linearizability checker for the versioned map.

Every put that takes effect gives its key the next version, so the versions order all writes of a key. A history is
linearizable exactly when, per key: a version belongs to one write and a write to at most one version; a read returns
what the write of its version wrote; and the order of versions respects real time: an operation that begins after
another ended never sees, or makes, an older version. A write whose answer was lost may take effect at any later time,
or never.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Operation:
    """One client call. `version` is what a put produced or a get saw (0: no such key); None while unknown."""

    client: int
    kind: str  # "put" or "get"
    key: str
    value: bytes
    start: float
    end: float | None = None
    version: int | None = None


class Violation(AssertionError):
    """The history cannot be that of one map."""


def check(history: list[Operation]) -> None:
    """Raises Violation naming the operations that contradict each other."""
    for key in sorted({op.key for op in history}):
        _check_key([op for op in history if op.key == key])


def _check_key(history: list[Operation]) -> None:
    done = [op for op in history if op.end is not None and op.version is not None]
    value_of: dict[int, bytes] = {}
    for op in done:
        assert op.version is not None
        if op.version == 0:
            if op.kind == "put":
                raise Violation(f"a put that made no version: {op}")
            continue
        known = value_of.setdefault(op.version, op.value)
        if known != op.value:
            raise Violation(f"version {op.version} has two values: {known!r} and {op}")
    owner: dict[bytes, int] = {}
    for version, value in value_of.items():
        if owner.setdefault(value, version) != version:
            raise Violation(f"one write took effect twice: {value!r} is version {owner[value]} and {version}")
    written = {op.value for op in history if op.kind == "put"}
    for version, value in value_of.items():
        if value not in written:
            raise Violation(f"version {version} holds {value!r}, which nobody wrote")
        begun = min(op.start for op in history if op.kind == "put" and op.value == value)
        early = [op for op in done if op.kind == "get" and op.version == version and (op.end or 0) < begun]
        if early:
            raise Violation(f"read before it was written: {early[0]}")
    _check_real_time(done)


def _check_real_time(done: list[Operation]) -> None:
    by_end = sorted(done, key=lambda op: op.end or 0.0)
    floor, position = 0, 0
    floor_op: Operation | None = None
    for op in sorted(done, key=lambda op: op.start):
        while position < len(by_end) and (by_end[position].end or 0.0) < op.start:
            if (by_end[position].version or 0) > floor:
                floor, floor_op = by_end[position].version or 0, by_end[position]
            position += 1
        assert op.version is not None
        if op.version < floor or (op.kind == "put" and op.version == floor and floor_op is not op):
            raise Violation(f"{op} began after {floor_op} ended, yet has the older version")
