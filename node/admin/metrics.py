"""What this node tells Prometheus, in its text format.

Why it exists: who leads, who lags, who is refused and whether the audit log is written must be seen by a machine, over
time. What it refuses to do: name a secret, a workload or a person; a label has a handful of values, all of them words
of this source.

    raftsafe_leader, _quorum, _ready, _disk_ok               1 or 0
    raftsafe_term, _commit_index, _applied_index, _last_index   positions in Raft's log
    raftsafe_voters, _learners, _peers_connected, _secrets      how many
    raftsafe_delivery_now{what}                              connections, subscribers, handshakes, sealed
    raftsafe_delivery_events_total{event}                    welcomed, refused, broken, silent, ... since the start
    raftsafe_refusals_total{event,code}                      of both doors, also those that got no audit line
    raftsafe_audit_lines_total{to}, _queued_characters{to}, _dropped_total{to}, _stuck{to}   of each stream of the audit
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node import audit
from node.admin.services import Services

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of the format that generate_latest writes."""
NOW: Final = ("connections", "subscribers", "handshakes", "sealed")
"""Of the numbers of the delivery door, those that go up and down."""
Samples = Iterable[tuple[tuple[str, ...], float]]


class Metrics(Collector):
    """Nothing is counted here: everything is asked of those who know it, when somebody looks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from self._cluster()
        yield from self._delivery()
        yield from _audit()

    def _cluster(self) -> Iterable[Metric]:
        status = self._services.raft.status()
        for name, help_, value in (
            ("leader", "whether this node leads", status.state == "leader"),
            ("quorum", "whether this node is in touch with a majority", status.quorum),
            ("ready", "whether this node can serve", status.ready),
            ("disk_ok", "whether the disk takes writes in time", status.disk_ok),
            ("term", "Raft's term", status.term),
            ("commit_index", "last index known to be committed", status.commit_index),
            ("applied_index", "last index applied here", status.applied),
            ("last_index", "last index in the log of this node", status.last_index),
            ("voters", "members that vote", len(status.voters)),
            ("learners", "members that do not vote yet", len(status.learners)),
            ("peers_connected", "members this node has a connection with", len(status.connected)),
            ("secrets", "secrets in the store, deleted ones that are not purged included", len(self._services.store)),
        ):
            yield GaugeMetricFamily(f"raftsafe_{name}", help_, value=float(value))

    def _delivery(self) -> Iterable[Metric]:
        stats = self._services.sidecars.stats()
        # Refusals are among them too, with a space in their names; these are counted for both doors below.
        counted = (((name,), float(count)) for name, count in stats.items() if name not in NOW and " " not in name)
        yield _gauge(
            "delivery_now",
            "at the delivery door",
            ("what",),
            (((name,), float(stats[name])) for name in NOW if name in stats),
        )
        yield _counter("delivery_events", "at the delivery door since the start", ("event",), counted)


def _audit() -> Iterable[Metric]:
    refusals = (((event, code), float(n)) for (event, code), n in audit.refusals().items())
    yield _counter("refusals", "refusals by event and stable code", ("event", "code"), refusals)
    figures = audit.figures()

    def each(what: str) -> Samples:
        return (((name,), float(found[what])) for name, found in figures.items())

    yield _counter("audit_lines", "lines in the chain", ("to",), each("lines"))
    yield _counter("audit_dropped", "lines that found no room", ("to",), each("dropped"))
    yield _gauge("audit_queued_characters", "what waits to be written", ("to",), each("queued"))
    yield _gauge("audit_stuck", "1 if lines are not being written", ("to",), each("stuck"))


def _gauge(name: str, help_: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"raftsafe_{name}", help_, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, help_: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"raftsafe_{name}", help_, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
