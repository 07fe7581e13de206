"""One connection to a node: its name resolved, TLS, the protocol's state, and what failed in an operator's words.

Why it exists: what is particular to TLS in a process that must stay small is kept in one place.
What it refuses to do: TLS below 1.3, or a node whose name is not checked; decide when to dial and when to leave.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Final, Protocol, cast

from sidecar.credential import CredentialError
from sidecar.wire import messages as m
from sidecar.wire.protocol import ClientProtocol

CONNECT: Final = 2.0
"""Seconds for name, TCP and TLS together."""
SHUTDOWN: Final = 1.0
"""Seconds for a peer to answer the end of TLS before the socket is dropped."""
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


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Anew for each dial, so that a rotated CA file is simply the next one read. Raises CredentialError."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise CredentialError(f"CA file {ca_file} cannot be used: {explain(error)}") from None
    return context


def explain(error: BaseException) -> str:
    """Why a dial or a stream failed, in the operator's words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'reason', None) or 'no reason given'}"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
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


async def connect(owner: Owner, ca_file: str, host: str, port: int, turn: int) -> Stream:
    """Name, TCP and TLS; of several addresses number `turn` (modulo their count). Raises OSError, ValueError (a host
    name that is none) and CredentialError."""
    loop = asyncio.get_running_loop()
    context = tls_context(ca_file)
    found = await loop.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    addresses = sorted({str(entry[4][0]) for entry in found})
    _, stream = await loop.create_connection(
        lambda: Stream(owner),
        addresses[turn % len(addresses)],
        port,
        ssl=context,
        server_hostname=host,
        ssl_handshake_timeout=CONNECT,
        ssl_shutdown_timeout=SHUTDOWN,
    )
    return stream
