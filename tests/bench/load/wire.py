"""A warm HTTPS connection on asyncio that costs little: whole requests as bytes, one at a time, status and times.

Why it exists: clients share the machine with the nodes they measure, and a library's client costs more than a node.
What it refuses to do: pipeline, follow, retry, or leave open whether a request has been sent.
"""

from __future__ import annotations

import asyncio
import ssl

from load.api import HOST

END = b"\r\n\r\n"
LENGTH = b"content-length:"


class NotSent(Exception):
    """The connection was closed before a byte of the request had left."""


class Broken(Exception):
    """The connection closed after the request was sent and before all of the answer was here."""


class Wire(asyncio.Protocol):
    """Use from one task. `closed` once no further request can be sent."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def dial(cls, port: int, context: ssl.SSLContext) -> Wire:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(cls, HOST, port, ssl=context, server_hostname=HOST)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Broken(str(error or "closed")))

    def eof_received(self) -> bool:
        self.closed = True
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(END)
        if not end or self._waiting is None or self._waiting.done():
            return
        lines = head.lower().split(b"\r\n")
        size = next((int(line[len(LENGTH) :]) for line in lines if line.startswith(LENGTH)), -1)
        if size < 0:
            self._waiting.set_exception(Broken("an answer without Content-Length"))
        elif len(rest) >= size:
            self._buffer = rest[size:]
            if b"connection: close" in lines:
                self.close()
            self._waiting.set_result((int(lines[0].split(b" ", 2)[1]), rest[:size]))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises NotSent or Broken."""
        if self.closed or self._transport is None or self._transport.is_closing():
            raise NotSent
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()
