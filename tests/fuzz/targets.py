"""What is fed with bytes from outside, and what must hold whatever they are.

Each target takes one input (see seeds.py) and returns; anything it raises is a finding. A ProtocolError is the one
answer that broken input may get, and is taken here; what a target checks besides is said by it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Final

from node_end import NodeEnd
from seeds import CONTROL, FROM_CLIENT, FROM_NODE, corpus, hello

from sidecar.actions import Close, Dial, Place, ReadToken, Send
from sidecar.dialer import Route, order
from sidecar.session import Purpose, Resume, Session
from sidecar.settings import Node
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader, ProtocolError, decode
from sidecar.wire.protocol import ClientProtocol, ServerProtocol, negotiate

NODES: Final = (Node("a", 1), Node("b", 1), Node("c", 1))


def chunks(data: bytes) -> tuple[random.Random, Iterator[bytes]]:
    """The control word as a source of choices, and the rest in pieces of any size."""
    rng = random.Random(data[:CONTROL])
    whole = rng.random() < 0.5

    def cut() -> Iterator[bytes]:
        at = CONTROL
        while at < len(data):
            size = len(data) if whole else rng.choice((1, 3, 4, 5, 60, 1000))
            yield data[at : at + size]
            at += size

    return rng, cut()


def frames(data: bytes) -> None:
    """In any chunks the same frames come out, and none after a violation. What is unpacked packs again."""
    found: list[tuple[int, dict[str, object]]] = []
    reader, broken = FrameReader(), False
    for chunk in chunks(data)[1]:
        try:
            found += reader.feed(chunk)
            assert not broken, "frames after a violation"
        except ProtocolError:
            broken = True
    if not broken:
        assert FrameReader().feed(data[CONTROL:]) == found or _has_nan(found)
    with contextlib.suppress(ProtocolError):
        decode(data[CONTROL:])


def _has_nan(found: object) -> bool:
    return "nan" in repr(found)


def client_end(data: bytes) -> None:
    """A client hears a greeting first, and nothing after the end; every message it hears is one that can be sent."""
    protocol = ClientProtocol()
    protocol.send_hello(hello())
    heard: list[m.NodeMessage] = []
    try:
        for chunk in chunks(data)[1]:
            heard += protocol.receive_data(chunk)
    except ProtocolError:
        assert protocol.closed() and protocol.receive_data(data) == []
    assert not heard or isinstance(heard[0], m.Welcome | m.Refused)
    for message in heard:
        again = m.FROM_NODE[message.TYPE].from_body(message.to_body())
        assert again == message and m.pack(message)


def server_end(data: bytes) -> None:
    """The same for what a node hears, with the answer given after the first message."""
    protocol = ServerProtocol()
    heard: list[m.ClientMessage] = []
    try:
        for chunk in chunks(data)[1]:
            for message in protocol.receive_data(chunk):
                heard.append(message)
                if isinstance(message, m.Hello) and not protocol.closed() and (version := negotiate(message.versions)):
                    protocol.send_welcome(m.Welcome(version, "safe-0", 1, 2000, False))
    except ProtocolError:
        assert protocol.closed() and protocol.receive_data(data) == []
    assert not heard or isinstance(heard[0], m.Hello)
    for message in heard:
        if isinstance(message, m.Receipt):
            assert m.Receipt.from_body(message.to_body(), protocol.version) == message
        else:
            assert m.FROM_CLIENT[message.TYPE].from_body(message.to_body()) == message


class SidecarEnd:
    """The session as client.py drives it, with chance in the place of the network, the clock and the volume."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 100.0
        self.protocol: ClientProtocol | None = None
        self.files: dict[str, int] = {"shop/db": 2, "shop/old": 1}
        self.highest = dict(self.files)
        self.placing: Place | None = None
        self.session = Session(NODES, Purpose("web-0", "i", "a"), Resume(dict(self.files), {}, 3, True))
        self._do(self.session.start(self.now, rng.random()))

    def _do(self, actions: list[object]) -> None:
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            if isinstance(action, Dial):
                todo += self._dial(action)
            elif isinstance(action, Close):
                self.protocol = None
            elif isinstance(action, Place):
                todo = [*self._place(action), *todo]
            elif isinstance(action, ReadToken):
                todo += self.session.token(self.now, f"t{self.rng.random()}", 60.0)
            elif isinstance(action, Send) and self.protocol is not None and not self.protocol.closed():
                m.pack(action.message)
                if isinstance(action.message, m.Hello):
                    self.protocol.send_hello(action.message)

    def _dial(self, action: Dial) -> list[object]:
        if self.rng.random() < 0.1:
            return [*self.session.failed(self.now, self.rng.random(), "refused")]
        self.protocol = ClientProtocol()
        routes = order([Route(node, node.host) for node in action.nodes], action.shunned, action.chance)
        return [*self.session.connected(self.now, routes[0], "token", 60.0)]

    def _place(self, action: Place) -> list[object]:
        """Now, or when its templates are rendered. Only one that removes may take the place of another."""
        assert self.placing is None or (action.partial and not self.placing.partial)
        self.placing = None
        if self.rng.random() < 0.1:
            self.placing = action
            return []
        return self._write(action)

    def rendered(self) -> None:
        action, self.placing = self.placing, None
        if action is not None:
            self._do(self._write(action))

    def _write(self, action: Place) -> list[object]:
        if self.rng.random() < 0.2:
            return [*self.session.place_failed(self.now, 1, action, "no_space")]
        for name, change in action.changes.items():
            if change is None:
                self.files.pop(name, None)
                continue
            assert change.version >= self.highest.get(name, 0), "an older version than was ever in place"
            self.files[name] = self.highest[name] = change.version
        return [*self.session.placed(self.now, 1, action)]

    def pass_time(self) -> None:
        self.now += self.rng.choice((0.01, 0.3, 2.5, 3.0, 6.0, 40.0))
        self._do([*self.session.woken(self.now, self.rng.random())])

    def lose(self) -> None:
        if self.protocol is not None:
            self.protocol = None
            self._do([*self.session.lost(self.now, self.rng.random(), "stream lost")])

    def take(self, chunk: bytes) -> None:
        if self.protocol is None:
            self.pass_time()
        protocol = self.protocol
        if protocol is None:
            return
        before = self.session.index
        self.session.heard(self.now)
        try:
            received = protocol.receive_data(chunk)
        except ProtocolError:
            self.protocol = None
            self._do([*self.session.lost(self.now, self.rng.random(), "protocol")])
            return
        for message in received:
            if protocol is self.protocol:
                self._do([*self.session.received(self.now, self.rng.random(), message)])
        assert self.session.index >= before
        assert dict(self.session.held) == self.files


def session(data: bytes) -> None:
    """Whatever a node sends, and however often it goes away: versions only go up, the index never back, and what the
    session believes to be in the files is there."""
    rng, pieces = chunks(data)
    end = SidecarEnd(rng)
    for piece in pieces:
        end.take(piece)
        if rng.random() < 0.3:
            end.rendered()
        if rng.random() < 0.1:
            end.pass_time()
        if rng.random() < 0.05:
            end.lose()
            end.take(m.pack(m.Welcome(1, "safe-2", end.session.index, 2000, False)))
    end.session.status(end.now)
    end._do([*end.session.stop()])


_node = NodeEnd()


def node(data: bytes) -> None:
    """The door, greeting and hub of a node behind a connection that takes as much as it likes: what it writes is what a
    sidecar accepts, and nothing is logged as an error."""
    rng, pieces = chunks(data)
    _node.serve(rng, pieces)


Target = Callable[[bytes], None]
TARGETS: Final[dict[str, tuple[Target, list[bytes]]]] = {
    "frames": (frames, corpus(FROM_NODE) + corpus(FROM_CLIENT)),
    "client_end": (client_end, corpus(FROM_NODE)),
    "server_end": (server_end, corpus(FROM_CLIENT)),
    "session": (session, corpus(FROM_NODE)),
    "node": (node, corpus(FROM_CLIENT)),
}
