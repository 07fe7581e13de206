"""One stream of one sidecar: bytes in and out, and how much of them may wait.

Why it exists: 10 000 of these idle in one process, so each is one object with slots, no task and no timer of its own;
the server's shared timer visits it. Frames that the network does not take yet wait here, as references to frames that
many streams share, and go out in small slices, so that a stuck reader costs a slice, not a copy of everything.
What it refuses to do: decide anything. It reports to the server and does what the server says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError
from sidecar.wire.protocol import ServerProtocol, State

if TYPE_CHECKING:
    from node.delivery.server import DeliveryServer

SLICE: Final = 64 << 10
"""Bytes handed to TLS at once. What TLS has encrypted and the kernel does not take is a copy for this stream alone."""
HIGH_WATER: Final = 32 << 10
"""Bytes in the transport at which it says stop."""
FORGOTTEN: Final = m.Hello((1,), "-", "-", "-", "")
"""Takes the place of the real one: a token of 1 KiB and the names it came with are not needed again."""


class Connection(asyncio.Protocol):
    """Times are the server's `now`, which moves with its timer: a quarter of a second is exact enough for all of them.

    `subscriber`: 0 until it is subscribed. `closing`: when the goodbye was queued, or 0. `effort`: what it cost since
    the last visit. `token`: asked about again from time to time. `expires`: of it, in seconds since the epoch.
    `task`: of a greeting or a renewal, if any.
    """

    __slots__ = (
        "_outbox",
        "_paused",
        "_server",
        "_transport",
        "closing",
        "effort",
        "expires",
        "greeting_bytes",
        "heard",
        "namespace",
        "number",
        "opened",
        "pod",
        "protocol",
        "serviceaccount",
        "subscriber",
        "task",
        "token",
    )

    def __init__(self, server: DeliveryServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._outbox: deque[bytes | memoryview] | None = None
        self._paused = False
        self.protocol = ServerProtocol()
        self.number = 0
        self.subscriber = 0
        self.opened = self.heard = server.now
        self.closing = 0.0
        self.expires = 0.0
        self.effort = 0
        self.greeting_bytes = 0
        self.namespace = ""
        self.serviceaccount = ""
        self.pod = ""
        self.token = ""
        self.task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        return self._transport is None

    @property
    def waiting(self) -> int:
        """Bytes not handed to the network yet."""
        return sum(map(len, self._outbox)) if self._outbox else 0

    @property
    def peer(self) -> str:
        """The address of the other end, for the audit."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else ""

    # -- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        self.heard = self._server.now
        try:
            if not self._server.allowed(self, len(data)):
                return
            for message in self.protocol.receive_data(data):
                self._server.received(self, message)
        except ProtocolError as error:
            self._server.broken(self, str(error))

    def eof_received(self) -> bool:
        return False  # close

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outbox = None
        self.protocol.close()
        self._server.lost(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.heard = self._server.now  # a reader that takes bytes is alive, however long it needs for the rest
        if self._outbox is not None:
            self.flush()
            self._server.drained(self)

    # -- called by the server --------------------------------------------------------------------------------------

    def queue(self, frame: bytes) -> None:
        """Appends a frame; nothing after a goodbye. `flush` sends it."""
        if self._transport is None or self.closing:
            return
        if self._outbox is None:
            self._outbox = deque()
        self._outbox.append(frame)

    def send(self, frame: bytes) -> None:
        self.queue(frame)
        self.flush()

    def flush(self) -> None:
        """Hands over what the network takes now."""
        while self._outbox and not self._paused and self._transport is not None:
            chunk: list[bytes | memoryview] = []
            room = SLICE
            while self._outbox and room > 0:
                frame = self._outbox.popleft()
                if len(frame) > room:
                    view = memoryview(frame)
                    self._outbox.appendleft(view[room:])
                    frame = view[:room]
                chunk.append(frame)
                room -= len(frame)
            self._transport.writelines(chunk)
        if not self._outbox:
            self._outbox = None
            if self.closing and self._transport is not None:
                self._transport.close()

    def say_goodbye(self, frame: bytes, now: float) -> None:
        """The last frame: ahead of every whole frame that still waits, since none of them will be of use."""
        if self._transport is None or self.closing:
            return
        if self._outbox is None:
            self._outbox = deque()
        elif isinstance(begun := self._outbox[0], memoryview):
            self._outbox = deque((begun,))
        else:
            self._outbox.clear()
        self._outbox.append(frame)
        self.closing = now or 0.001
        self.flush()

    def hang_up(self) -> None:
        """Ends it without a word, once what waits is out."""
        self.protocol.close()
        if self._transport is not None:
            self.closing = self.closing or self._server.now or 0.001
            if self._outbox is None:
                self._transport.close()

    def abort(self) -> None:
        """Ends it now."""
        self.protocol.close()
        if self._transport is not None:
            self._transport.abort()

    def greeted(self) -> bool:
        return self.protocol.state is State.GREETED
