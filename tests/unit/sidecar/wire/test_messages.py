"""Messages: each survives the wire, and each field is checked."""

from __future__ import annotations

import dataclasses

import pytest

from sidecar.wire import messages as m
from sidecar.wire import names
from sidecar.wire.frames import FrameReader, ProtocolError

HELLO = m.Hello((1, 2), "secret-token", "web-0", "i", "agent", 7, {"a/b": 3}, ("a/b", "c/d"), "init")
ALL = [
    HELLO,
    m.Receipt(7, {"a/b": 3}, "no_space", 1_700_000_000_000, m.Report("why", "HTTP 500", 3, 1, 9000)),
    m.Token("secret-token"),
    m.Bye(),
    m.Ping(1),
    m.Pong(1),
    m.Welcome(2, "safe-0", 9, 2000, True, "a-cluster"),
    m.Refused("unavailable", "not now", "wait", 500),
    m.Secret("a/b", 3, 8, {"value": b"canary", "other": b""}),
    m.Gone("a/b", "deleted"),
    m.Sync(9, False, True),
    m.Stale(True),
    m.Goaway("stopping", 5000),
    m.Denied("a/b", "not_granted", "no grant"),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_each_survives_the_wire(message):
    [(kind, body)] = FrameReader().feed(m.pack(message))
    table = {**m.FROM_CLIENT, **m.FROM_NODE}
    assert table[kind].from_body(body) == message


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_unknown_keys_are_ignored(message):
    assert type(message).from_body({**message.to_body(), "later": [1]}) == message


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_a_missing_key_is_refused(message):
    for key in message.to_body():
        with pytest.raises(ProtocolError):
            type(message).from_body({other: value for other, value in message.to_body().items() if other != key})


def test_types_do_not_collide():
    assert len({type(message).TYPE for message in ALL}) == len(ALL)
    assert {type(message) for message in ALL} == set(m.FROM_CLIENT.values()) | set(m.FROM_NODE.values())


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_no_repr_shows_a_value_or_a_token(message):
    assert "canary" not in repr(message) and "secret-token" not in repr(message)


def refused(message, **changes):
    with pytest.raises(ProtocolError) as caught:
        type(message).from_body({**message.to_body(), **changes})
    assert "canary" not in str(caught.value) and "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"versions": []}, {"versions": ["1"]}, {"versions": [0]}, {"versions": [True]}, {"versions": list(range(1, 99))},
        {"token": ""}, {"token": b"x"}, {"token": "x" * (m.MAX_TOKEN + 1)}, {"pod": ""}, {"pod": "x" * 254},
        {"instance": None}, {"index": -1}, {"index": 1 << 63}, {"index": True}, {"index": 1.0},
        {"have": []}, {"have": {"a": 1}}, {"have": {"a/b": 0}}, {"have": {"a/b": "1"}},
        {"have": {f"a/b{n}": 1 for n in range(names.MAX_SECRETS + 1)}},
        {"want": {}}, {"want": ["a"]}, {"want": [1]}, {"want": ["a/b"] * (names.MAX_SECRETS + 1)}, {"mode": "other"},
    ],
)  # fmt: skip
def test_hello_is_checked(changes):
    refused(HELLO, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a"}, {"name": "../b"}, {"version": 0}, {"fields": {}}, {"fields": []}, {"fields": {"..": b""}},
        {"fields": {"a": "text"}}, {"fields": {f"f{n}": b"" for n in range(65)}},
        {"fields": {"value": bytes(names.MAX_SECRET_BYTES + 1)}},
    ],
)  # fmt: skip
def test_secret_is_checked(changes):
    refused(m.Secret("a/b", 3, 8, {"value": b"canary"}), **changes)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (m.Gone("a/b", "deleted"), {"code": "because"}),
        (m.Gone("a/b", "deleted"), {"code": None}),
        (m.Welcome(1, "n", 1, 2000, False), {"heartbeat_ms": 1}),
        (m.Welcome(1, "n", 1, 2000, False), {"heartbeat_ms": 60_001}),
        (m.Welcome(1, "n", 1, 2000, False), {"version": 0}),
        (m.Sync(1, False, False), {"full": 1}),
        (m.Refused("x", "y"), {"retry_ms": -1}),
        (m.Refused("x", "y"), {"retry_ms": m.MAX_DELAY_MS + 1}),
        (m.Refused("x", "y"), {"code": ""}),
        (m.Goaway("x", 1), {"avoid_ms": m.MAX_DELAY_MS + 1}),
        (m.Receipt(1, {}, "", 1), {"placed": {"a/b": -1}}),
        (m.Receipt(1, {}, "", 1), {"render": "x" * (m.MAX_TEXT + 1)}),
        (m.Receipt(1, {}, "", 1), {"notified": -1}),
        (m.Receipt(1, {}, "", 1), {"staleness_ms": True}),
        (m.Receipt(1, {}, "", 1), {"placed": {b"a/b": 1}}),
        (m.Secret("a/b", 1, 1, {"v": b""}), {"fields": {b"v": b""}}),
        (m.Ping(1), {"n": "1"}),
    ],
)
def test_the_others_are_checked(message, changes):
    refused(message, **changes)


def test_the_largest_secret_and_the_longest_hello_fit_a_frame():
    fields = {f"{n:03}" + "f" * 250: bytes(names.MAX_SECRET_BYTES // 64) for n in range(64)}
    assert m.pack(m.Secret("a" * 63 + "/" + "b" * 253, m.MAX_NUMBER, m.MAX_NUMBER, fields))
    long = [f"{'a' * 63}/{n:04}{'b' * 249}" for n in range(names.MAX_SECRETS)]
    assert m.pack(m.Hello((1,), "t" * m.MAX_TOKEN, "p", "i", "a", 0, dict.fromkeys(long, m.MAX_NUMBER), ()))
    assert m.pack(m.Receipt(1, dict.fromkeys(long, m.MAX_NUMBER), "", 1))


def test_size_is_the_sum_of_the_values():
    assert m.Secret("a/b", 1, 1, {"x": b"12", "y": b"345"}).size == 5


def test_the_identity_of_the_store_may_be_left_out():
    """A peer of the same protocol version may be older than it."""
    for message in (HELLO, m.Welcome(2, "safe-0", 9, 2000, True, "a-cluster")):
        named = dataclasses.replace(message, store="one")
        assert type(message).from_body(named.to_body()) == named and "store" not in message.to_body()
        refused(named, store=1)
        refused(named, store="x" * 254)
    assert "store" not in m.Welcome(1, "safe-0", 9, 2000, True, "", "one").to_body()
