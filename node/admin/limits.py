"""How much the admin API takes on at once, so that no crowd of requests takes the node's memory or its loop.

Why it exists: delivery and Raft share this process; a request that would have to wait is told so (429).
What it refuses to do: queue.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from node.admin import context
from node.admin.bodies import MAX_BODY
from node.admin.pulse import Pulse
from node.admin.rates import Rates
from node.errors import Rejected, Retry

MAX_REQUESTS: Final = 512
"""Requests handled at once: each costs some 20 KiB, and one node's log takes about as many writes in a deadline."""
MAX_BODIES: Final = 32 << 20
"""Bytes of bodies held at once: 16 of the largest; text, values and sealed copies together are about 4 times that."""
CHUNK: Final = 64 << 10
PARTS: Final = 256
"""Items of a JSON text that cost one token: it is not its bytes that take the time to parse it (a value is one item).
The worst 2 MiB, 700 000 empty lists, take 0.2 s of the loop."""


class Limits:
    """Counts what is held. Use from one event loop."""

    def __init__(self, pulse: Pulse | None = None, rates: Rates | None = None) -> None:
        self.draining = False
        self.pulse = pulse
        self.rates = rates
        self._requests = 0
        self._bytes = 0

    def enter(self, *, change: bool = False) -> None:
        """Raises Retry: too_many_requests, or unavailable for a change that may have lain here unread for long."""
        if change and self.pulse is not None and self.pulse.held_up():
            raise Retry(
                "this node was held up and the request may be an old one",
                hint="nothing was changed; if it is still wanted, send it again",
                after=0.6,
            )
        if self._requests >= MAX_REQUESTS:
            raise Retry(
                f"this node handles {MAX_REQUESTS} requests already",
                code="too_many_requests",
                hint="wait a second",
                after=1,
            )
        self._requests += 1

    def charge(self, tokens: int) -> None:
        """To the one whose request is handled, who has shown who it is. Raises Retry too_many_requests."""
        if self.rates is not None and tokens:
            self.rates.charge(context.current().subject or "", tokens)

    def leave(self) -> None:
        self._requests -= 1

    async def body(self, request: web.Request) -> Body:
        """Reads the body; the size is checked before a byte of it is, and again while it comes.

        Raises Rejected (invalid, too_large) or Retry too_many_requests, also for what it would cost to parse."""
        if request.headers.get("Content-Encoding"):
            raise Rejected("the body is compressed", hint="send it as it is, without Content-Encoding")
        if request.content_type != "application/json":
            raise Rejected("the body is not marked as JSON", hint="send the header Content-Type: application/json")
        size = MAX_BODY if request.content_length is None else request.content_length
        if size > MAX_BODY:
            raise _too_large()
        if self._bytes + size > MAX_BODIES:
            raise Retry(
                "this node holds too many large requests", code="too_many_requests", hint="wait a second", after=1
            )
        self._bytes += size
        try:
            data = await _read(request, size)
            self.charge(data.count(b",") // PARTS)
            return Body(data, self, size)
        except BaseException:
            self._bytes -= size
            raise

    def give_back(self, size: int) -> None:
        self._bytes -= size


class Body:
    """A context manager around the bytes: what was reserved for them is given back at its end."""

    def __init__(self, data: bytes, limits: Limits, reserved: int) -> None:
        self._data = data
        self._limits = limits
        self._reserved = reserved

    def __enter__(self) -> bytes:
        data, self._data = self._data, b""  # the caller decides how long the bytes live
        return data

    def __exit__(self, *_: object) -> None:
        self._limits.give_back(self._reserved)


async def _read(request: web.Request, size: int) -> bytes:
    content = request.content
    if content.is_eof() and content.exception() is None and content.total_bytes <= size:
        # All of it is here already: the usual case, without a turn of the loop or a copy.
        return content.read_nowait()
    out, gone = bytearray(), False
    try:
        while chunk := await content.read(CHUNK):
            out += chunk
            if len(out) > size:
                raise _too_large()
    except (ConnectionError, web.RequestPayloadError):
        gone = True
    if gone:  # raised out here: the parser's exception quotes what it choked on
        raise Rejected("the body did not come whole", hint="send as many bytes as Content-Length says")
    return bytes(out)


def _too_large() -> Rejected:
    hint = "a secret is at most 1 MiB; encrypt larger data with a key from here and keep it elsewhere"
    return Rejected(f"the body is larger than {MAX_BODY} bytes", code="too_large", hint=hint)
