"""The listening socket: new connections at the pace at which this process can shake hands.

Why it exists: after another node died thousands of sidecars dial at once. A TLS handshake is about half a millisecond
of this loop; hundreds of them in one turn would keep Raft's heartbeats waiting and cost the cluster its leader as well.
So few handshakes are under way at any moment, and the rest wait in the lobby, where they cost next to nothing.
What it refuses to do: let peers that never shake hands (a port scan, an attack) take those places. One that has sent
nothing has none; one that stops in the middle no longer counts when it is older than FRESH, only its deadline does; and
addresses take turns. A handshake with somebody who has already given up is not begun.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from node.delivery.lobby import Lobby

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections the kernel keeps for us; capped by net.core.somaxconn, 4096 since Linux 5.4."""
FRESH_LIMIT: Final = 32
"""Handshakes under way at once: some 20 ms of work, less than half a heartbeat of Raft."""
FRESH: Final = 0.1
"""Seconds after which an unfinished handshake is not one that is waiting for us."""
AT_ONCE: Final = 64
"""Connections accepted in one turn of the loop: some 3 ms."""
SWEEP: Final = 1.0
"""Seconds between two looks for those who never say anything."""
ESTABLISHED: Final = 1
"""The first byte of TCP_INFO while neither end has closed (tcp(7), linux/tcp_states.h)."""
HANDSHAKE: Final = 5.0
"""Seconds a peer may take for its handshake."""
GOODBYE: Final = 2.0
"""Seconds a peer may take to answer our close."""
SEND_BUFFER: Final = 128 << 10
"""Bytes the kernel holds for a stream (it takes twice that). What it holds is not seen here: with megabytes, a
heartbeat behind them would arrive too late on a slow link, and a stuck reader would cost them."""
EXHAUSTED: Final = 0.5
"""Seconds to leave the socket alone when there are no file descriptors left."""


class Acceptor:
    """`full`: whether there is no room even to refuse politely; then a connection is closed before any cryptography."""

    def __init__(
        self, factory: Callable[[], asyncio.Protocol], context: ssl.SSLContext, full: Callable[[int], bool]
    ) -> None:
        self._factory = factory
        self._context = context
        self._full = full
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._shaking: Counter[str] = Counter()
        self._lobby: Lobby[socket.socket] = Lobby()
        self._sweeping: asyncio.TimerHandle | None = None
        self._fresh = 0
        self._reading = False
        self.failed = 0
        self.dropped = 0

    @property
    def port(self) -> int:
        """The port really listened on. Raises if the acceptor has not been started."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def shaking(self) -> int:
        """Connections whose handshake is under way, fresh or not, or still to come."""
        return len(self._tasks) + self._lobby.count

    def start(self, host: str, port: int) -> None:
        """Listens. Raises OSError if the address cannot be had."""
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # inherited by what it accepts
        self._socket.setblocking(False)
        self._resume()
        self._sweep()

    def close(self) -> None:
        """Stops listening: dials are refused by the kernel from here on. Handshakes under way are ended."""
        self._pause()
        if self._sweeping is not None:
            self._sweeping.cancel()
        silent, spoken = self._lobby.clear()
        for peer in silent:
            self._dismiss(peer)
        for peer in spoken:
            peer.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for task in self._tasks:
            task.cancel()

    def _pause(self) -> None:
        if self._reading and self._loop is not None and self._socket is not None:
            self._loop.remove_reader(self._socket)
        self._reading = False

    def _resume(self) -> None:
        if not self._reading and self._loop is not None and self._socket is not None:
            self._reading = True
            self._loop.add_reader(self._socket, self._acceptable)

    def _acceptable(self) -> None:
        assert self._loop is not None
        for _ in range(AT_ONCE):
            if self._socket is None:
                return
            try:
                peer, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept connections for the moment: %s", error.strerror)
                self._pause()
                self._loop.call_later(EXHAUSTED, self._resume)
                return
            self._take(peer, str(address[0]))

    # -- before the handshake --------------------------------------------------------------------------------------

    def _take(self, peer: socket.socket, address: str) -> None:
        """A new connection: to its handshake, if it has spoken already, as one that has waited for us has."""
        assert self._loop is not None
        if self._full(self.shaking):
            self.dropped += 1
            peer.close()
            return
        peer.setblocking(False)
        try:
            peer.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._loop.add_reader(peer, self._speaks, peer, address)
            if (other := self._lobby.arrived(peer, address, self._loop.time())) is not None:
                self._dismiss(other)
        except OSError:
            self.failed += 1
            peer.close()
        else:
            self._spoke(peer, address)

    def _speaks(self, peer: socket.socket, address: str) -> None:
        assert self._loop is not None
        self._loop.remove_reader(peer)
        self._spoke(peer, address)

    def _spoke(self, peer: socket.socket, address: str) -> None:
        if self._lobby.spoke(peer, address):
            self._advance()
        else:
            self.dropped += 1
            peer.close()

    def _dismiss(self, peer: socket.socket) -> None:
        """One that has said nothing."""
        assert self._loop is not None
        self._loop.remove_reader(peer)
        peer.close()
        self.failed += 1

    def _sweep(self) -> None:
        assert self._loop is not None
        for peer in self._lobby.overdue(self._loop.time()):
            self._dismiss(peer)
        self._sweeping = self._loop.call_later(SWEEP, self._sweep)

    # -- the handshake ---------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Begins the next handshakes, as long as there are few under way."""
        assert self._loop is not None
        while self._fresh < FRESH_LIMIT and (following := self._lobby.next(self._shaking)) is not None:
            peer, address = following
            if peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED:
                self.failed += 1  # it went without a word, or waited for us longer than it wanted to
                peer.close()
                continue
            self._fresh += 1
            self._shaking[address] += 1
            task = self._loop.create_task(self._shake(peer))
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._shaken, peer, address))

    def _shaken(self, peer: socket.socket, address: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._shaking[address] -= 1
        if not self._shaking[address]:
            del self._shaking[address]
        if task.cancelled():  # perhaps before it ran at all
            peer.close()
        self._advance()

    async def _shake(self, peer: socket.socket) -> None:
        assert self._loop is not None
        counted = True

        def release() -> None:
            """This handshake is over, or so slow that it is not us whom it waits for."""
            nonlocal counted
            if counted:
                counted = False
                self._fresh -= 1
                self._advance()

        aged = self._loop.call_later(FRESH, release)
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                peer,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=GOODBYE,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError: not TLS, not 1.3, gone again
            self.failed += 1
            peer.close()
            log.debug("a handshake failed: %s", type(error).__name__)
        finally:
            aged.cancel()
            release()
