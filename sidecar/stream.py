"""One connection to a node: TCP, TLS, the protocol's state, and what failed in an operator's words.

Why it exists: what is particular to TLS in a process that must stay small is kept in one place.
What it refuses to do: TLS below 1.3, or a node whose name is not checked; decide when to dial and when to leave.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import Final, Protocol, cast

from sidecar.credential import CredentialError
from sidecar.dialer import Route
from sidecar.wire import messages as m
from sidecar.wire.protocol import ClientProtocol

TCP: Final = 2.0
"""Seconds for one address to answer at all: it is then looked up again, for the node may have moved."""
TLS: Final = 5.0
"""Seconds for the handshake. A node that answered TCP may have thousands before us, and paces them."""
SHUTDOWN: Final = 1.0
"""Seconds for a peer to answer the end of TLS before the socket is dropped."""
MAX_CA: Final = 1 << 20
"""Bytes read of the CA file: what a ConfigMap may hold."""
MAX_UNSENT: Final = 4 << 20
"""Bytes waiting for a node that does not read: then it is as good as gone. The largest receipt is under 1 MiB."""


class Context(ssl.SSLContext):
    """The host name goes to OpenSSL as bytes: as str it would pass through IDNA, whose tables then stay in memory."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        host = server_hostname.encode("ascii") if isinstance(server_hostname, str) else server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, host, session)


class Trust:
    """Whom to believe: the CA file, read at each dial, so that a rotated one is simply the next; a context is made when
    it has changed. Making one costs more than the rest of a dial, and all sidecars of a node that died dial at once."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._made: tuple[bytes, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Raises CredentialError."""
        try:
            with open(self._ca_file, "rb") as file:
                data = file.read(MAX_CA)
            if self._made is None or self._made[0] != data:
                self._made = data, _context(data)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: nothing in it
            raise CredentialError(f"CA file {self._ca_file} cannot be used: {explain(error)}") from None
        return self._made[1]


def _context(pem: bytes) -> ssl.SSLContext:
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))  # comments may hold anything
    return context


def explain(error: BaseException) -> str:
    """Why a dial or a stream failed, in the operator's words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'reason', None) or 'no reason given'}"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    if isinstance(error, ConnectionAbortedError):  # of the loop's own making, past TLS seconds
        return "its handshake took too long"
    if isinstance(error, ConnectionError):
        return "it closed the connection"
    return type(error).__name__


class Owner(Protocol):
    """Who is told what becomes of a stream."""

    def arrived(self, stream: Stream, data: bytes) -> None: ...

    def broke(self, stream: Stream, reason: str) -> None: ...


class Stream(asyncio.Protocol):
    """One connection: its transport, its protocol state, and where to report."""

    def __init__(self, owner: Owner) -> None:
        self.protocol = ClientProtocol()
        self.ended = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods and not the base class

    def data_received(self, data: bytes) -> None:
        self._owner.arrived(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._owner.broke(self, explain(exc) if exc else "the node closed the stream")

    def send(self, message: m.ClientMessage) -> None:
        """Write it, unless the node has ended the stream in the same breath."""
        protocol = self.protocol
        if isinstance(message, m.Bye):
            self.write(protocol.send_bye())
        elif protocol.closed():
            pass
        elif isinstance(message, m.Hello):
            self.write(protocol.send_hello(message))
        elif isinstance(message, m.Receipt):
            self.write(protocol.send_receipt(message))
        elif isinstance(message, m.Token):
            self.write(protocol.send_token(message))
        elif isinstance(message, m.Ping):
            self.write(protocol.send_ping(message))
        elif isinstance(message, m.Pong):
            self.write(protocol.send_pong(message))

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MAX_UNSENT:
                self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(owner: Owner, context: ssl.SSLContext, route: Route, answered: asyncio.Event) -> Stream:
    """TCP, then TLS; sets `answered` in between. Raises OSError."""
    loop = asyncio.get_running_loop()
    peer = socket.socket(socket.AF_INET6 if ":" in route.address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        peer.setblocking(False)
        async with asyncio.timeout(TCP):
            await _tcp(loop, peer, (route.address, route.node.port))
        answered.set()
        _, stream = await loop.create_connection(
            lambda: Stream(owner),
            sock=peer,
            ssl=context,
            server_hostname=route.node.host,
            ssl_handshake_timeout=TLS,
            ssl_shutdown_timeout=SHUTDOWN,
        )
    except BaseException:
        peer.close()
        raise
    return stream


async def _tcp(loop: asyncio.AbstractEventLoop, peer: socket.socket, address: tuple[str, int]) -> None:
    """loop.sock_connect asks uvloop's resolver even for a numeric address, and so waits behind a name that hangs."""
    code = peer.connect_ex(address)
    if code == errno.EINPROGRESS:
        writable = asyncio.Event()
        loop.add_writer(peer, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(peer)
        code = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
