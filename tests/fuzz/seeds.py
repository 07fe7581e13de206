"""Where the mutations begin: streams that real ends would send, made by the code that sends them.

An input is 8 bytes that choose everything but the bytes (chunks, time, losses, other workloads' writes), then frames.
"""

from __future__ import annotations

from typing import Final

from sidecar.wire import messages as m
from sidecar.wire.protocol import VERSIONS

CONTROL: Final = 8


def hello(**more: object) -> m.Hello:
    settings: dict[str, object] = {"index": 3, "have": {"shop/db": 2, "shop/old": 1}, "want": (), "mode": "run"}
    return m.Hello(VERSIONS, "shop/web/web-0", "web-0", "i-1", "safe-sidecar/0.1.0", **(settings | more))  # type: ignore[arg-type]


def secret(name: str, version: int, index: int, **fields: bytes) -> m.Secret:
    return m.Secret(name, version, index, fields or {"value": b"v" * 40})


FROM_NODE: Final[tuple[tuple[m.Message, ...], ...]] = (
    (
        m.Welcome(VERSIONS[-1], "safe-0", 5, 2000, False),
        secret("shop/db", 3, 5),
        secret("shop/api", 1, 4, user=b"u", password=b"p"),
        m.Gone("shop/old", "deleted"),
        m.Sync(5, False, True),
        m.Ping(1),
        m.Stale(True),
        secret("shop/db", 4, 6),
        m.Sync(6, True, False),
        m.Denied("shop/no", "not_granted", "not for this workload"),
        m.Goaway("restart", 10_000),
    ),
    (m.Refused("token_expired", "the token has expired", "get another", 0),),
    (m.Welcome(1, "safe-1", 9, 1000, True), m.Sync(9, True, True), m.Pong(1), m.Refused("unavailable", "no", "", 500)),
    (
        m.Welcome(1, "safe-1", 9, 10, False),
        secret("other/db", 1, 9),
        m.Gone("shop/db", "expired"),
        m.Sync(9, False, True),
    ),
)
FROM_CLIENT: Final[tuple[tuple[m.Message, ...], ...]] = (
    (
        hello(),
        m.Receipt(5, {"shop/db": 3}, "", 1_700_000_000_000),
        m.Ping(1),
        m.Token("shop/web/web-0"),
        m.Pong(7),
        m.Receipt(6, {"shop/db": 3, "shop/api": 1}, "no_space", 1_700_000_000_001),
        m.Bye(),
    ),
    (hello(want=("shop/db", "shop/none", "other/db"), mode="init", have={}, index=0), m.Receipt(1, {}, "", 0), m.Bye()),
    (hello(index=1 << 40), m.Bye()),
    (m.Hello((1, 2, 9), "bad", "p", "i", ""),),
    (m.Hello((1,), "shop/web/web-0", "web-0", "i", "old"), m.Receipt(5, {"shop/db": 2}, "", 1, None), m.Bye()),
)


def corpus(side: tuple[tuple[m.Message, ...], ...]) -> list[bytes]:
    """Inputs for one end: each stream under a few control words, and each message alone."""
    streams = [b"".join(map(m.pack, stream)) for stream in side] + [m.pack(each) for stream in side for each in stream]
    return [bytes([number] * CONTROL) + stream for number in (0, 7, 200) for stream in streams]
