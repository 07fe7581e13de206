"""What the hub remembers of one sidecar, and what it asks its shell to do.

Why it exists: 10 000 of these are in memory at once, so they have slots, and what most of them never need is None.
What it refuses to do: hold values. A subscriber knows names and versions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from node.delivery.receipts import Receipt
from sidecar.wire import messages as m


@dataclass(frozen=True, slots=True)
class Subscription:
    """A verified identity and what its HELLO asked for. `have`: versions in place; `want`: empty for all granted."""

    namespace: str
    serviceaccount: str
    pod: str
    instance: str
    agent: str = ""
    have: Mapping[str, int] = field(default_factory=dict)
    want: frozenset[str] = frozenset()
    mode: str = "run"


class Send(NamedTuple):
    """Append this frame to the stream of this subscriber. It is shared with others: one object for all of them."""

    subscriber: int
    frame: bytes


class Close(NamedTuple):
    """End this subscriber's stream; it has already been unsubscribed."""

    subscriber: int
    reason: str


class Withheld(NamedTuple):
    """For the audit: this subscriber asked for, or had, a secret which it does not get. Said once a code."""

    subscriber: int
    name: str
    code: str


class Unopened(NamedTuple):
    """For the log: a value could not be opened with this node's keys. `error` is the kind of error, not its text."""

    name: str
    version: int
    error: str


Action = Send | Close | Withheld | Unopened


class Subscriber:
    """One open stream.

    `held`: the versions it was given or said it has, which are never gone below. `names`: what is left of the pass
    under way, last first, None between passes. `pending`: names to look at in the next pass, None for none;
    `pending_full`: look at everything instead. `queued`: bytes sent by the hub which the shell has not handed to the
    network yet; `blocked`: no room, the next pass or the rest of this one waits for the shell to drain. `round`: the
    last round of changes begun when it came.
    """

    __slots__ = (
        "agent",
        "at_ms",
        "blocked",
        "denied",
        "error",
        "full",
        "held",
        "id",
        "index",
        "instance",
        "mode",
        "names",
        "namespace",
        "overflow",
        "pending",
        "pending_full",
        "placed",
        "pod",
        "queued",
        "ready",
        "report",
        "round",
        "said",
        "serviceaccount",
        "since_ms",
        "told_stale",
        "want",
    )

    def __init__(self, number: int, asked: Subscription, held: dict[str, int], wall_ms: int, stale: bool) -> None:
        self.id = number
        self.namespace = sys.intern(asked.namespace)  # one copy for all pods of a workload
        self.serviceaccount = sys.intern(asked.serviceaccount)
        self.pod = asked.pod
        self.instance = asked.instance
        self.agent = asked.agent
        self.mode = asked.mode
        self.want = asked.want
        self.since_ms = wall_ms
        self.held = held
        self.denied: dict[str, str] | None = None
        self.overflow = False
        self.names: list[str] | None = None
        self.full = False
        self.said = False
        self.pending: set[str] | None = None
        self.pending_full = True
        self.ready = False
        self.round = 0
        self.blocked = False
        self.queued = 0
        self.told_stale = stale
        self.index = 0
        self.placed = dict(held)
        self.error = ""
        self.at_ms = 0
        self.report: m.Report | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Two streams with the same key are one process that dialled again."""
        return (self.namespace, self.serviceaccount, self.pod, self.instance)

    def receipt(self, node: str) -> Receipt:
        return Receipt(
            pod=self.pod,
            namespace=self.namespace,
            serviceaccount=self.serviceaccount,
            node=node,
            since_ms=self.since_ms,
            index=self.index,
            placed=dict(self.placed),
            error=self.error,
            mode=self.mode,
            agent=self.agent,
            at_ms=self.at_ms,
            want=self.want,
            report=self.report,
        )
