"""The peers' door, and what is brought to the wrong one of the three."""

from __future__ import annotations

import datetime
import ssl

import msgpack
from table import Attack
from world import PATIENCE, SECRET, World

from node.crypto import certs
from sidecar.wire import messages as m

WRONG = "tls alert: .*|closed"
PAST = datetime.timedelta(minutes=-1)


def wrong_ca(world: World) -> str:
    own = certs.Authority("peer", *certs.new_authority("raftsafe-dev peer CA"))
    return world.greet(own.issue(("safe-1",)), world.greeting("safe-1.x"))


def named(world: World, certificate: str, member: str, **more: object) -> str:
    return world.greet(world.leaf("peer", certificate), world.greeting(member, **more))  # type: ignore[arg-type]


def vote_first(world: World) -> str:
    """A genuine certificate, and a message of Raft before any greeting."""
    vote = {
        "type": "request_vote",
        "term": 10**6,
        "member": "safe-1.x",
        "last_log_index": 10**6,
        "last_log_term": 10**6,
    }
    return world.greet(world.leaf("peer", "safe-1"), vote)


def raft_after_nothing(world: World) -> str:
    """The same without a certificate: with TLS 1.3 the client may write before it was looked at."""
    return world.greet(None, world.greeting("safe-1.x"), {"type": "append_entries", "term": 10**6})


def huge_peer_frame(world: World) -> str:
    with world.tls("peer", world.client(world.leaf("peer", "safe-1"))) as stream:
        stream.sendall(b"\xff\xff\xff\xff" + b"x" * 1000)
        return world.ended(stream)


def old_tls(world: World, door: str) -> str:
    context = world.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with world.tls(door, context):
            return "shook hands"
    except ssl.SSLError as error:
        return f"tls alert: {error.reason or error}"  # an end without a word has no reason: EOF


def plain_http(world: World, door: str) -> str:
    with world.plain(door) as stream:
        stream.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        stream.settimeout(PATIENCE)
        data = world.read(stream)
        return "answered" if b"HTTP/" in data else "closed"


def http_at(world: World, door: str) -> str:
    """HTTP over TLS at a door that speaks something else."""
    try:
        with world.tls(door) as stream:
            stream.sendall(f"GET /v1/secrets HTTP/1.1\r\nAuthorization: Bearer {world.admin}\r\n\r\n".encode())
            stream.settimeout(PATIENCE)
            return "answered" if b"HTTP/" in world.read(stream) else "closed"
    except OSError as error:
        return f"tls alert: {getattr(error, 'reason', '')}" if isinstance(error, ssl.SSLError) else "closed"


def hello_at_admin(world: World) -> str:
    with world.tls("admin") as stream:
        stream.sendall(m.pack(m.Hello((1, 2), world.workload(), "p", "i", "attacker")))
        stream.settimeout(PATIENCE)
        data = world.read(stream)
        return "400" if data.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")) else "closed" if not data else "answered"


def frame(world: World, data: bytes) -> str:
    return world.frames(data)


def deep(world: World) -> str:
    body: object = 1
    for _ in range(900):
        body = [body]
    data = msgpack.packb([1, {"have": body}])
    return world.frames(len(data).to_bytes(4, "big") + data)


def extension(world: World) -> str:
    data = msgpack.packb([1, {"token": msgpack.ExtType(4, b"pickle")}])
    return world.frames(len(data).to_bytes(4, "big") + data)


def frames_of_the_node(world: World) -> str:
    """A client that says what only a node says."""
    return world.frames(m.pack(m.Hello((1, 2), world.workload(), "p", "i", "a")) + m.pack(m.Goaway("begone", 1)))


def hello_twice(world: World) -> str:
    """A second greeting with another identity on a stream that is open."""
    first = m.pack(m.Hello((1, 2), world.workload("demo", "mallory"), "p", "i", "a"))
    with world.tls("delivery") as stream:
        stream.sendall(first)
        got = world.told(stream)
        assert got == "given nothing", got
        stream.sendall(m.pack(m.Hello((1, 2), world.workload(), "p", "i", "a", want=(SECRET,))))
        return world.told(stream)


def token_of_another(world: World) -> str:
    """The stream was opened by one identity; its renewed token is of another."""
    with world.tls("delivery") as stream:
        stream.sendall(m.pack(m.Hello((1, 2), world.workload("demo", "mallory"), "p", "i", "a")))
        assert world.told(stream) == "given nothing"
        stream.sendall(m.pack(m.Token(world.workload())))
        return world.told(stream)


def many_streams(world: World) -> str:
    """One pod takes more places than it needs."""
    token = world.workload("demo", "mallory", pod="greedy")
    streams, refused = [], ""
    try:
        for number in range(40):
            stream = world.tls("delivery")
            streams.append(stream)
            stream.sendall(m.pack(m.Hello((1, 2), token, "greedy", f"i{number}", "a")))
            refused = world.told(stream)
            if refused != "given nothing":
                return f"{refused} within 40"
        return "40 streams"
    finally:
        for stream in streams:
            stream.close()


ATTACKS = [
    Attack("certificate: none", "peer", WRONG, lambda w: w.greet(None, w.greeting("safe-1.x"))),
    Attack("certificate: none, Raft messages at once", "peer", WRONG, raft_after_nothing),
    Attack("certificate: of a CA with the same name", "peer", WRONG, wrong_ca),
    Attack("certificate: server leaf of the cluster", "peer", WRONG,
           lambda w: w.greet(w.leaf("server", "safe-1"), w.greeting("safe-1.x"))),
    Attack("certificate: expired", "peer", WRONG,
           lambda w: w.greet(w.leaf("peer", "safe-1", lifetime=PAST), w.greeting("safe-1.x"))),
    Attack("certificate: name of another node", "peer", "closed", lambda w: named(w, "safe-2", "safe-1.x")),
    Attack("certificate: name in a wildcard", "peer", "closed", lambda w: named(w, "*", "safe-1.x")),
    Attack("certificate: a node nobody knows", "peer", "closed", lambda w: named(w, "safe-7", "safe-7.x")),
    Attack("greeting: of another cluster", "peer", "closed", lambda w: named(w, "safe-1", "safe-1.x", cluster="other")),
    Attack("greeting: another version", "peer", "closed", lambda w: named(w, "safe-1", "safe-1.x", version=99)),
    Attack("greeting: no member", "peer", "closed", lambda w: named(w, "safe-1", "")),
    Attack("Raft: a vote before the greeting", "peer", "closed", vote_first),
    Attack("Raft: a frame of 4 GiB", "peer", "closed", huge_peer_frame),
    *(Attack("TLS 1.2", door, "tls alert: .*(VERSION|EOF).*", lambda w, door=door: old_tls(w, door))
      for door in ("peer", "delivery", "admin")),
    *(Attack("no TLS", door, "closed", lambda w, door=door: plain_http(w, door)) for door in ("peer", "delivery", "admin")),
    *(Attack("deputy: HTTP with an admin's token", door, WRONG, lambda w, door=door: http_at(w, door))
      for door in ("peer", "delivery")),
    Attack("deputy: a sidecar's greeting", "admin", "400|closed", hello_at_admin),
    Attack("frame: length of 4 GiB", "delivery", "invalid|closed", lambda w: frame(w, b"\xff\xff\xff\xff" + b"x" * 100)),
    Attack("frame: length 0", "delivery", "invalid|closed", lambda w: frame(w, b"\0\0\0\0")),
    Attack("frame: nested 900 deep", "delivery", "invalid|closed", deep),
    Attack("frame: msgpack extension", "delivery", "invalid|closed", extension),
    Attack("frame: RECEIPT before HELLO", "delivery", "invalid|closed",
           lambda w: frame(w, m.pack(m.Receipt(1, {SECRET: 1}, "", 1)))),
    Attack("frame: what only a node says", "delivery", "invalid|closed", frames_of_the_node),
    Attack("frame: a second HELLO, other identity", "delivery", "invalid|closed", hello_twice),
    Attack("frame: renewed token of another identity", "delivery", "token_subject|forbidden|invalid|closed", token_of_another),
    Attack("frame: streams of one pod", "delivery", "(unavailable|too_many_requests) within 40", many_streams),
]  # fmt: skip
