"""Clients that take their time: what they hold must be taken from them, and others must not notice.

Each runs in a thread of its own beside the others, since waiting is all they do.
"""

from __future__ import annotations

import time

from table import Attack
from world import World

from sidecar.wire import messages as m

LONGEST = 60.0
"""Seconds within which each must have been hung up on."""


def _drip(world: World, stream, data: bytes, every: float) -> str:
    """One byte at a time until the other end has had enough."""
    started = time.monotonic()
    try:
        while time.monotonic() - started < LONGEST:
            for byte in data:
                stream.sendall(bytes([byte]))
                stream.settimeout(every)
                try:
                    got = world.read(stream)
                except TimeoutError:
                    if time.monotonic() - started > LONGEST:
                        return f"still open after {LONGEST:g} s"
                    continue
                if not got:
                    return "closed"
    except OSError:
        return "closed"
    return f"still open after {LONGEST:g} s"


def headers(world: World) -> str:
    with world.tls("admin") as stream:
        stream.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n")
        return _drip(world, stream, b"X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 0.5)


def body(world: World) -> str:
    with world.tls("admin") as stream:
        head = f"PUT /v1/secrets/demo/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.admin}\r\n"
        stream.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode())
        return _drip(world, stream, b" " * 1000, 0.5)


def silent(world: World, door: str) -> str:
    with world.tls(door) as stream:
        return world.ended(stream, LONGEST)


def handshake(world: World, door: str) -> str:
    with world.plain(door) as stream:
        stream.sendall(b"\x16\x03\x01\x02\x00\x01")  # a ClientHello begins, and that is all
        return world.ended(stream, LONGEST)


def hello(world: World) -> str:
    with world.tls("delivery") as stream:
        return _drip(world, stream, m.pack(m.Hello((1, 2), world.workload(), "p", "i", "a")), 0.5)


def mute(world: World) -> str:
    """A sidecar that is greeted and answers no ping any more."""
    with world.tls("delivery") as stream:
        stream.sendall(m.pack(m.Hello((1, 2), world.workload("demo", "mallory", pod="mute"), "mute", "i", "a")))
        assert (told := world.told(stream)) == "given nothing", told
        return world.ended(stream, LONGEST)


def flood(world: World) -> str:
    """A sidecar that never stops asking."""
    ping = m.pack(m.Ping(1)) * 200
    with world.tls("delivery") as stream:
        stream.sendall(m.pack(m.Hello((1, 2), world.workload("demo", "mallory", pod="flood"), "flood", "i", "a")))
        assert (told := world.told(stream)) == "given nothing", told
        stream.settimeout(5)
        started = time.monotonic()
        try:
            while time.monotonic() - started < LONGEST:
                stream.sendall(ping)
        except TimeoutError:
            return world.ended(stream, LONGEST)
        except OSError:
            return "closed"
        return f"still served after {LONGEST:g} s"


def idle_keepalive(world: World) -> str:
    with world.tls("admin") as stream:
        stream.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert world.read(stream).startswith(b"HTTP/1.1 200")
        return world.ended(stream, LONGEST)


ATTACKS = [
    Attack("slow: headers, a byte at a time", "admin", "closed", headers),
    Attack("slow: body, a byte at a time", "admin", "closed", body),
    Attack("slow: no request at all", "admin", "closed", lambda w: silent(w, "admin")),
    Attack("slow: idle after an answer", "admin", "closed", idle_keepalive),
    *(Attack("slow: handshake never finished", door, "closed", lambda w, door=door: handshake(w, door))
      for door in ("peer", "delivery", "admin")),
    Attack("slow: no HELLO", "delivery", "closed", lambda w: silent(w, "delivery")),
    Attack("slow: HELLO, a byte at a time", "delivery", "closed|invalid", hello),
    Attack("slow: answers no ping", "delivery", "closed", mute),
    Attack("flood: pings without end", "delivery", "closed", flood),
]  # fmt: skip
