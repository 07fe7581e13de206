"""Which rule lets a workload have a secret, or keeps it from it: the decision of policy.py, told in words.

Why it exists: "why does my pod not get it" must be answered by the code that decides, not by a copy of it.
What it refuses to do: decide anything itself, or tell of a value.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final, Protocol

from node.clock import Clock
from node.delivery.policy import Rules, entitled, patterns
from sidecar.wire import codes

LATEST: Final = 253_402_300_799_000
"""The end of the year 9999, the last that datetime can tell; ms since the epoch."""
SHOWN: Final = 8
"""Grants quoted when none fits."""


class Record(Rules, Protocol):
    @property
    def version(self) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`code`: "" when allowed, else why not. `rule`: the grant that names the workload, "" if none does. `wildcard`:
    the rule names others as well. `version`: 0 if there is no such secret."""

    secret: str
    allowed: bool
    code: str
    rule: str
    wildcard: bool
    version: int
    detail: str
    hint: str


def explain(name: str, record: Record | None, namespace: str, serviceaccount: str, wall_ms: int) -> Verdict:
    """The verdict at this moment (ms since the epoch)."""
    allowed, code = entitled(record, namespace, serviceaccount, wall_ms)
    if record is None:
        return Verdict(name, False, code, "", False, 0, f"there is no secret {name}", "check the name, or put it")
    rule = next((one for one in patterns(namespace, serviceaccount) if one in record.grants), "")
    detail, hint = _words(name, record, f"{namespace}/{serviceaccount}", rule, code)
    return Verdict(name, allowed, code, rule, "*" in rule, record.version, detail, hint)


def _words(name: str, record: Record, workload: str, rule: str, code: str) -> tuple[str, str]:
    """(what is so, what to do about it)."""
    if code == codes.NOT_GRANTED:
        some = ", ".join(record.grants[:SHOWN]) + (", ..." if len(record.grants) > SHOWN else "")
        many = f"none of its {len(record.grants)} grants names {workload}: {some}"
        return (many if record.grants else "it is granted to nobody"), f"safe grant {name} {workload}"
    by = f"granted by {rule}"
    if "*" in rule:
        namespace, account = rule.split("/")
        whom = "every service account" if account == "*" else f"every service account {account}"
        by += f", a wildcard for {whom} in {'every namespace' if namespace == '*' else f'namespace {namespace}'}"
    if code == codes.DELETED:
        return f"{by}, but it is deleted", f"safe undelete {name}, or put a new value"
    if code == codes.NOT_YET_VALID:
        return f"{by}, but not valid before {_when(record.not_before_ms)}", "wait, or change its not-before"
    if code == codes.EXPIRED:
        return f"{by}, but expired at {_when(record.expires_ms)}", "put a new value, or change when it expires"
    return by, ""


def _when(at_ms: int | None) -> str:
    """UTC to the second."""
    if at_ms is None or at_ms > LATEST:
        return f"{at_ms} ms since the epoch"
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Source(Protocol):
    def get(self, name: str) -> Record | None: ...


class Explainer:
    """`granted(namespace, serviceaccount)`: names of every secret with a grant that names the workload."""

    def __init__(self, source: Source, granted: Callable[[str, str], Collection[str]], clock: Clock) -> None:
        self._source = source
        self._granted = granted
        self._clock = clock

    def one(self, namespace: str, serviceaccount: str, name: str) -> Verdict:
        return explain(name, self._source.get(name), namespace, serviceaccount, self._clock.wall_ms())

    def granted(self, namespace: str, serviceaccount: str, within: str, limit: int) -> tuple[list[Verdict], int]:
        """The first `limit` secrets that are granted to the workload, valid now or not, and how many there are.
        `within`: of this namespace only, "" for all."""
        names = self._granted(namespace, serviceaccount)
        if within:
            names = [name for name in names if name.startswith(f"{within}/")]
        return [self.one(namespace, serviceaccount, name) for name in heapq.nsmallest(limit, names)], len(names)
