from __future__ import annotations

import dataclasses

import pytest

from node.clock import SystemClock
from node.delivery.audit import Audit
from node.delivery.limits import Limits
from node.delivery.refusals import Refusals
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader
from sidecar.wire.protocol import ServerProtocol


@dataclasses.dataclass
class Stream:
    """What a refusal needs of a connection."""

    lost: bool = False
    closing: float = 0.0
    peer: str = "10.0.0.1"
    namespace: str = "shop"
    serviceaccount: str = "web"
    pod: str = "web-1"
    protocol: ServerProtocol = dataclasses.field(default_factory=ServerProtocol)
    said: bytes = b""

    def say_goodbye(self, frame, now):
        assert now
        self.said, self.closing = self.said + frame, now


@pytest.fixture
def ended():
    return []


@pytest.fixture
def refusals(ended):
    clock = SystemClock()
    return Refusals(Audit("safe-0", clock), clock, Limits(), ended.append)


def said(stream):
    ((kind, body),) = FrameReader().feed(stream.said)
    assert kind == m.Refused.TYPE
    return m.Refused.from_body(body)


def test_it_is_said_counted_audited_and_the_end(refusals, ended, audit_lines):
    stream = Stream()
    refusals.refuse(stream, "token_expired", "it has expired", "get another", 700)
    assert said(stream) == m.Refused("token_expired", "it has expired", "get another", 700)
    assert ended == [stream] and refusals.count == 1 and stream.protocol.closed()
    (line,) = audit_lines()
    assert (line["event"], line["code"], line["pod"]) == ("delivery.refused", "token_expired", "web-1")


@pytest.mark.parametrize("over", [{"lost": True}, {"closing": 3.0}])
def test_nobody_is_refused_after_the_end(refusals, ended, audit_lines, over):
    refusals.refuse(Stream(**over), "invalid", "too late")
    assert (refusals.count, ended, audit_lines()) == (0, [], [])


def test_once_is_enough(refusals, ended):
    stream = Stream()
    refusals.unavailable(stream, "stopping")
    refusals.refuse(stream, "invalid", "and another thing")
    assert said(stream).code == "unavailable" and len(ended) == 1


def test_those_refused_together_do_not_come_back_together(refusals):
    times = set()
    for _ in range(50):
        refusals.unavailable(stream := Stream(), "busy", after_ms=1000)
        times.add(said(stream).retry_ms)
    assert len(times) > 10 and min(times) >= 500 and max(times) <= 1500


def test_whatever_is_said_fits_the_wire(refusals):
    stream = Stream()
    refusals.refuse(stream, "c" * 10_000, "m" * 100_000, "h" * 100_000, 10**9)
    found = said(stream)
    assert len(found.message) == m.MAX_TEXT and found.retry_ms == m.MAX_DELAY_MS
