"""Peer connections: mutual TLS 1.3 on asyncio, one connection a pair, a two-way greeting before anything else.

Why it exists: the library's own transport lets anyone who connects vote, write and run code. Here a peer is who its
certificate says: the greeting's name must be in the certificate, both ways (with TLS 1.3 the dialer believes it is
connected before its own certificate was checked, so it waits for the answer).
What it refuses to do: hand on a byte from a peer that has not greeted, accept a frame longer than the codec's limit,
or buffer without bound for a peer that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from node.clock import Clock
from node.raft import codec
from node.raft.membership import name_of
from node.raft.ports import Message
from node.settings import Address

log = logging.getLogger("raft.transport")
VERSION = 1
_LENGTH = struct.Struct(">I")
DIAL_TIMEOUT = 2.0
BACKOFF_MIN, BACKOFF_MAX = 0.02, 0.5
# Followers have nothing to say to each other: a ping a second keeps an idle connection known to be alive, and one
# that has been silent for three is dropped, so that a healed partition does not wait for TCP's retransmission.
PING_EVERY = 1.0
SILENT_AFTER = 3.0
# Replication holds at most 4 MiB in flight and a snapshot 1 MiB; more than this unsent means a peer that is stuck.
MAX_UNSENT = 32 << 20


class Handler(Protocol):
    """Who is told: the driver."""

    def greeting(self) -> Message: ...
    def refuses(self, name: str, greeting: Message) -> str:
        """Why this peer may not come in although its certificate is good, or ""."""
        ...

    def peer_up(self, member: str, greeting: Message) -> None: ...
    def peer_down(self, member: str) -> None: ...
    def peer_message(self, member: str, message: Message) -> None: ...


def encode(message: Message) -> bytes:
    body = codec.pack(message)
    return _LENGTH.pack(len(body)) + body


class Connection(asyncio.Protocol):
    """One TLS stream. `member` is known once the peer's greeting has been checked."""

    def __init__(self, owner: PeerTransport, dialed: str | None) -> None:
        self.owner = owner
        self.dialed = dialed
        self.member = ""
        self.heard_at = owner.clock.now()
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._stream: asyncio.Transport | None = None
        self._names: frozenset[str] = frozenset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._stream = transport  # type: ignore[assignment]
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert() or {}
        self._names = frozenset(value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")
        if self.dialed is not None:
            self._write_greeting()

    def _write_greeting(self) -> None:
        self.write(encode({"type": "greeting", "version": VERSION, **self.owner.handler.greeting()}))

    def write(self, frame: bytes) -> None:
        """Queue a frame; what is queued in one turn of the loop leaves in one write."""
        if not self._out:
            self.owner.loop.call_soon(self.flush)
        self._out.append(frame)

    def flush(self) -> None:
        out, self._out = self._out, []
        if self._stream is None or self._stream.is_closing() or not out:
            return
        self._stream.write(b"".join(out))
        if self._stream.get_write_buffer_size() > MAX_UNSENT:
            log.warning("peer %s does not read; closing", self.member)
            self.close()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.owner.clock.now()
        self._buffer += data
        try:
            self._frames()
        except codec.CodecError as error:
            log.warning("peer %s sent what is no frame (%s); closing", self.member or self._names, error)
            self.close()

    def _frames(self) -> None:
        buffer, position, size = self._buffer, 0, len(self._buffer)
        while size - position >= _LENGTH.size and self._stream is not None:
            (length,) = _LENGTH.unpack_from(buffer, position)
            if length > codec.MAX_FRAME:
                raise codec.CodecError("frame too long")
            if size - position - _LENGTH.size < length:
                break
            start = position + _LENGTH.size
            message = codec.unpack(bytes(buffer[start : start + length]))
            position = start + length
            if not isinstance(message, dict) or not isinstance(message.get("type"), str):
                raise codec.CodecError("not a message")
            if self.member:
                if message["type"] != "ping":
                    self.owner.handler.peer_message(self.member, message)
            else:
                self._greeted(message)
        if position:
            del buffer[:position]

    def _greeted(self, message: Message) -> None:
        member = str(message.get("member", ""))
        name = name_of(member)
        wrong = ""
        if message["type"] != "greeting" or message.get("version") != VERSION:
            wrong = "no greeting of version 1"
        elif message.get("cluster") != self.owner.cluster:
            wrong = "another cluster"
        elif not name or name not in self._names:
            wrong = f"it calls itself {name!r}, its certificate says {sorted(self._names)}"
        elif self.dialed not in (None, name):
            wrong = f"dialed {self.dialed}, found {name}"
        else:
            wrong = self.owner.handler.refuses(name, message)
        if wrong:
            raise codec.CodecError(wrong)
        if self.dialed is None:
            self._write_greeting()
        self.member = member
        self.owner.up(self, message)

    def connection_lost(self, error: Exception | None) -> None:
        self._stream = None
        self.owner.down(self)

    def close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.abort()


class PeerTransport:
    """All peer connections of a node, by pod name. The larger name of a pair dials."""

    def __init__(
        self,
        name: str,
        cluster: str,
        peers: Mapping[str, Address],
        contexts: Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]],
        handler: Handler,
        clock: Clock,
    ) -> None:
        self.name, self.cluster, self.peers = name, cluster, peers
        self.handler, self.clock = handler, clock
        self.contexts = contexts
        self.loop = asyncio.get_running_loop()
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialing: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listen: Address) -> None:
        server_context, _ = self.contexts()
        self._server = await self.loop.create_server(
            lambda: Connection(self, None), listen.host, listen.port, ssl=server_context, ssl_handshake_timeout=5
        )
        self._dial_all()
        self._spawn(self._keep_alive())

    def set_peers(self, peers: Mapping[str, Address]) -> None:
        """Dial these from now on; connections to names that left are closed by those who left, or by silence."""
        self.peers = peers
        self._dial_all()

    def _dial_all(self) -> None:
        for name in self.peers:
            if name < self.name and name not in self._dialing:
                self._dialing.add(name)
                self._spawn(self._dial(name))

    def _spawn(self, work: Any) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, name: str) -> None:
        pause = BACKOFF_MIN
        while name in self.peers:
            if name not in self._connections:
                try:
                    await self._connect(name)
                    pause = BACKOFF_MIN
                except (OSError, TimeoutError, ssl.SSLError) as error:
                    log.debug("cannot reach %s: %s", name, error)
                    pause = min(pause * 1.5, BACKOFF_MAX)
            await asyncio.sleep(self.clock.uniform(pause / 2, pause))
        self._dialing.discard(name)

    async def _connect(self, name: str) -> None:
        # Resolved at every attempt: a replaced pod has a new address.
        address = self.peers[name]
        _, client_context = self.contexts()
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes when the connection has just been made, and
        # a stopped transport would dial on.
        async with asyncio.timeout(DIAL_TIMEOUT):
            _, connection = await self.loop.create_connection(
                lambda: Connection(self, name), address.host, address.port, ssl=client_context, server_hostname=name
            )
        # Up only when the other end has answered the greeting; a refusal closes the stream.
        deadline = self.clock.now() + DIAL_TIMEOUT
        while not connection.member and connection._stream is not None:
            if self.clock.now() > deadline:
                connection.close()
                raise TimeoutError(f"{name} did not greet")
            await asyncio.sleep(0.005)

    async def _keep_alive(self) -> None:
        ping = encode({"type": "ping"})
        while True:
            await asyncio.sleep(PING_EVERY)
            for connection in list(self._connections.values()):
                if self.clock.now() - connection.heard_at > SILENT_AFTER:
                    log.info("peer %s has been silent; reconnecting", connection.member)
                    connection.close()
                    self.down(connection)
                else:
                    connection.write(ping)

    # -- connections ---------------------------------------------------------------------------------------------
    def up(self, connection: Connection, greeting: Message) -> None:
        name = name_of(connection.member)
        old = self._connections.get(name)
        if old is not None and old is not connection:
            self.down(old)
            old.close()
        self._connections[name] = connection
        self.handler.peer_up(connection.member, greeting)

    def down(self, connection: Connection) -> None:
        name = name_of(connection.member)
        if connection.member and self._connections.get(name) is connection:
            del self._connections[name]
            self.handler.peer_down(connection.member)

    def send(self, member: str, frame: bytes) -> bool:
        """Queue a frame for a member; False when it is not connected (the caller's protocol copes)."""
        connection = self._connections.get(name_of(member))
        if connection is None or connection.member != member:
            return False
        connection.write(frame)
        return True

    def close(self, member: str) -> None:
        """End the connection of a member that does not belong any more."""
        connection = self._connections.get(name_of(member))
        if connection is not None and connection.member == member:
            self.down(connection)
            connection.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections.values()):
            connection.flush()
            if connection._stream is not None:
                connection._stream.close()
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1)
