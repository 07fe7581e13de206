"""The order of the conversation, as two state machines without I/O.

    client                                   node
    OPEN    HELLO                     ->     OPEN
    OPEN                              <-     WELCOME  (then both are GREETED)   or  REFUSED (then both are CLOSED)
    GREETED                           <-     (SECRET | GONE)* SYNC, DENIED, STALE, at any time
    GREETED RECEIPT, TOKEN            ->
    GREETED PING / PONG              <->
    GREETED BYE                       ->     or   <- GOAWAY, REFUSED      (then both are CLOSED)

Why it exists: node and sidecar (and any other client) share one definition of what may follow what, and both check
what they send as well as what they receive, so that a mistake shows at the end that makes it.
What it refuses to do: sockets, clocks, retries, and answering a PING by itself: the owner of the stream does that.
After a ProtocolError the stream is CLOSED. What arrives once CLOSED is dropped: it crossed our goodbye on the way.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader, ProtocolError

VERSIONS: Final = (1, 2)
"""Protocol versions this code speaks. 2 adds Report to RECEIPT and `cluster` to WELCOME."""

_Any = TypeVar("_Any", m.ClientMessage, m.NodeMessage)


class State(enum.Enum):
    OPEN = "open"
    GREETED = "greeted"
    CLOSED = "closed"


def negotiate(offered: Iterable[int]) -> int | None:
    """The highest version both ends speak, or None: then refuse with codes.VERSION."""
    return max(set(offered) & set(VERSIONS), default=None)


def _read(kind: int, body: Mapping[str, object], known: Mapping[int, type[_Any]], version: int) -> _Any | None:
    """The message, or None for a type of a newer peer, which is ignored, but only once both ends have agreed.

    `version`: what was agreed, 0 before the greeting.
    """
    message = known.get(kind)
    if message is m.Receipt:
        return message.from_body(body, version)
    if message is not None:
        return message.from_body(body)
    if not version:
        raise ProtocolError(f"a frame of type {kind} came before the greeting")
    return None


class _SyncOrder:
    """A node's batches on one stream: the index only grows, and no secret is newer than the Sync that commits it."""

    __slots__ = ("_index", "_newest")

    def __init__(self) -> None:
        self._index = 0
        self._newest = 0

    def check(self, kind: int, index: int) -> None:
        if kind == m.Secret.TYPE:
            self._newest = max(self._newest, index)
        elif index < self._index:
            raise ProtocolError(f"index {index} after index {self._index}")
        elif index < self._newest:
            raise ProtocolError(f"a SYNC at index {index} holds a secret of index {self._newest}")
        else:
            self._index = index


class ClientProtocol:
    """The sidecar's end. Feed it what arrives, write what `send_*` returns.

    Every send raises ProtocolError when it is out of order. `state` is OPEN until WELCOME, then GREETED; `version` is
    what the node chose, 0 before.
    """

    __slots__ = ("_greeting", "_order", "_reader", "_versions", "state", "version")

    def __init__(self) -> None:
        self.state = State.OPEN
        self.version = 0
        self._reader = FrameReader()
        self._order = _SyncOrder()
        self._greeting = False
        self._versions: tuple[int, ...] = ()

    def closed(self) -> bool:
        return self.state is State.CLOSED

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[m.NodeMessage]:
        """The messages `data` completes, in order. Raises ProtocolError: close the connection.

        All of `data` is read first: the stream may be CLOSED by a later message while the first is being handled.
        """
        if self.closed():
            return []
        received: list[m.NodeMessage] = []
        try:
            for kind, body in self._reader.feed(data):
                message = _read(kind, body, m.FROM_NODE, self.version)
                if message is not None:
                    self._received(message)
                    received.append(message)
                if self.closed():
                    break
        except ProtocolError:
            self.state = State.CLOSED
            raise
        return received

    def _received(self, message: m.NodeMessage) -> None:
        if isinstance(message, m.Refused):
            self.state = State.CLOSED
        elif isinstance(message, m.Welcome):
            if self.state is not State.OPEN or not self._greeting:
                raise ProtocolError("a WELCOME that nobody asked for")
            if message.version not in self._versions:
                raise ProtocolError(f"the node chose version {message.version}, which was not offered")
            self._order.check(message.TYPE, message.index)
            self.state, self.version = State.GREETED, message.version
        elif self.state is not State.GREETED:
            raise ProtocolError("the first message of a node is WELCOME or REFUSED")
        elif isinstance(message, m.Secret | m.Sync):
            self._order.check(message.TYPE, message.index)
        elif isinstance(message, m.Goaway):
            self.state = State.CLOSED

    def send_hello(self, hello: m.Hello) -> bytes:
        if self.state is not State.OPEN or self._greeting:
            raise ProtocolError("HELLO is sent once, first")
        packed = m.pack(hello)
        self._greeting, self._versions = True, hello.versions
        return packed

    def send_receipt(self, receipt: m.Receipt) -> bytes:
        """On a stream of version 1 without its report."""
        if self.version == 1:
            receipt = replace(receipt, report=None)
        elif receipt.report is None:
            raise ProtocolError("a RECEIPT without its report")
        return self._send(receipt)

    def send_token(self, token: m.Token) -> bytes:
        return self._send(token)

    def send_ping(self, ping: m.Ping) -> bytes:
        return self._send(ping)

    def send_pong(self, pong: m.Pong) -> bytes:
        return self._send(pong)

    def send_bye(self) -> bytes:
        """Ends the stream. b"" if there is nobody to say it to, so that a stop never fails."""
        spoken = self._greeting and self.state is not State.CLOSED
        self.state = State.CLOSED
        return m.pack(m.Bye()) if spoken else b""

    def _send(self, message: m.ClientMessage) -> bytes:
        if self.state is not State.GREETED:
            raise ProtocolError(f"{type(message).__name__} cannot be sent while {self.state.value}")
        return m.pack(message)


class ServerProtocol:
    """The node's end. `hello` is what the client said; answer it with send_welcome or send_refused, in your own time.

    Between HELLO and the answer a client may only say BYE. Every send raises ProtocolError when it is out of order.
    `version` is what the WELCOME said, 0 before.
    """

    __slots__ = ("_order", "_reader", "hello", "state", "version")

    def __init__(self) -> None:
        self.state = State.OPEN
        self.version = 0
        self.hello: m.Hello | None = None
        self._reader = FrameReader()
        self._order = _SyncOrder()

    def closed(self) -> bool:
        return self.state is State.CLOSED

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[m.ClientMessage]:
        """The messages `data` completes, in order. Raises ProtocolError: close the connection.

        All of `data` is read first: the stream may be CLOSED by a later message while the first is being handled.
        """
        if self.closed():
            return []
        received: list[m.ClientMessage] = []
        try:
            for kind, body in self._reader.feed(data):
                message = _read(kind, body, m.FROM_CLIENT, self.version)
                if message is not None:
                    self._received(message)
                    received.append(message)
                if self.closed():
                    break
        except ProtocolError:
            self.state = State.CLOSED
            raise
        return received

    def _received(self, message: m.ClientMessage) -> None:
        if isinstance(message, m.Hello):
            if self.hello is not None:
                raise ProtocolError("a second HELLO")
            self.hello = message
        elif self.hello is None:
            raise ProtocolError("the first message of a client is HELLO")
        elif isinstance(message, m.Bye):
            self.state = State.CLOSED
        elif self.state is not State.GREETED:
            raise ProtocolError(f"{type(message).__name__} before WELCOME")

    def send_welcome(self, welcome: m.Welcome) -> bytes:
        if self.state is not State.OPEN or self.hello is None:
            raise ProtocolError("WELCOME answers one HELLO")
        if welcome.version not in self.hello.versions:
            raise ProtocolError(f"version {welcome.version} was not offered")
        self._order.check(welcome.TYPE, welcome.index)
        self.state, self.version = State.GREETED, welcome.version
        return m.pack(welcome)

    def send_refused(self, refused: m.Refused) -> bytes:
        """Ends the stream; also allowed before a HELLO (a full node) and later (an identity revoked)."""
        if self.state is State.CLOSED:
            raise ProtocolError("REFUSED cannot be sent while closed")
        self.state = State.CLOSED
        return m.pack(refused)

    def send_secret(self, secret: m.Secret, packed: bytes = b"") -> bytes:
        """`packed`: what messages.pack(secret) gave earlier, so that one encoding serves every subscriber."""
        self._greeted(secret)
        self._order.check(secret.TYPE, secret.index)
        return packed or m.pack(secret)

    def send_gone(self, gone: m.Gone) -> bytes:
        return self._send(gone)

    def send_sync(self, sync: m.Sync) -> bytes:
        self._greeted(sync)
        self._order.check(sync.TYPE, sync.index)
        return m.pack(sync)

    def send_stale(self, stale: m.Stale) -> bytes:
        return self._send(stale)

    def send_denied(self, denied: m.Denied) -> bytes:
        return self._send(denied)

    def send_ping(self, ping: m.Ping) -> bytes:
        return self._send(ping)

    def send_pong(self, pong: m.Pong) -> bytes:
        return self._send(pong)

    def send_goaway(self, goaway: m.Goaway) -> bytes:
        """Ends the stream."""
        packed = self._send(goaway)
        self.state = State.CLOSED
        return packed

    def close(self) -> None:
        """The connection is gone: nothing more is sent or received."""
        self.state = State.CLOSED

    def _send(self, message: m.NodeMessage) -> bytes:
        self._greeted(message)
        return m.pack(message)

    def _greeted(self, message: m.NodeMessage) -> None:
        if self.state is not State.GREETED:
            raise ProtocolError(f"{type(message).__name__} cannot be sent while {self.state.value}")
