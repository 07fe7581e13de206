"""A node's delivery door without its socket: the real server, greeting and hub on a loop of our own.

Why it exists: thousands of streams a second go through the code that meets strangers, TLS and kernel left out.
What it refuses to do: let an error be swallowed: what the door logs as one is raised here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from node.clock import Clock
from node.delivery.connection import Connection
from node.delivery.hub import Hub
from node.delivery.limits import Limits
from node.delivery.server import DeliveryServer
from node.errors import Rejected, Retry
from node.tokens.verify import Identity
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader

NAMES: Final = ("shop/db", "shop/api", "shop/old", "other/db")
TURNS: Final = 6
"""Turns of the loop after each piece: a greeting takes two or three, a pass of the hub one or two."""


class Record:
    def __init__(self, name: str, version: int, index: int, grants: tuple[str, ...], deleted: bool = False) -> None:
        self.name, self.version, self.index, self.grants, self.deleted = name, version, index, grants, deleted
        self.not_before_ms: int | None = None
        self.expires_ms: int | None = None
        self.generation, self.write_id = 1, b"w"
        self.sealed = msgpack.packb({"value": b"v" * 20} if name != "shop/api" else {"user": b"u", "password": b"p"})


class Change:
    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index


class Store:
    """What a hub reads. `put` is one applied command."""

    def __init__(self) -> None:
        self.index = 4
        self.records = {name: Record(name, 2, 2, ("shop/*",)) for name in NAMES[:3]}
        self.records["other/db"] = Record("other/db", 1, 3, ("other/*",))
        self.changes: list[Change] = []

    def get(self, name: str) -> Record | None:
        return self.records.get(name)

    def list(self, namespace: str | None = None, prefix: str = "", after: str = "", limit: int = 100) -> list[Record]:
        return [self.records[name] for name in sorted(self.records) if name > after][:limit]

    def drain_changes(self) -> list[Change]:
        taken, self.changes = self.changes, []
        return taken

    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> dict[str, bytes]:
        opened: dict[str, bytes] = msgpack.unpackb(sealed)
        return opened

    def put(self, rng: random.Random) -> None:
        name = rng.choice(NAMES)
        self.index += 1
        old = self.records[name]
        grants = rng.choice((("shop/*",), ("*/*",), ("other/web",), ()))
        self.records[name] = Record(name, old.version + 1, self.index, grants, rng.random() < 0.2)
        self.changes.append(Change(name, self.index))


class Time(Clock):
    """Stands still unless told."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.rng = random.Random(1)

    def now(self) -> float:
        return self.at

    def wall_ms(self) -> int:
        return round((self.at + 1.7e9) * 1000)

    def uniform(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)


class Transport(asyncio.Transport):
    """Takes all, and now and then says that it has had enough."""

    def __init__(self, connection: Connection, rng: random.Random) -> None:
        super().__init__()
        self.connection, self.rng = connection, rng
        self.written = bytearray()
        self.paused = self.ended = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def writelines(self, list_of_data: Any) -> None:
        if self.ended:
            return  # as a real one does until it has told that the connection is lost
        self.written += b"".join(bytes(part) for part in list_of_data)
        if self.rng.random() < 0.05:
            self.paused = True
            self.connection.pause_writing()

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.7", 4711) if name == "peername" else default


class Errors(logging.Handler):
    """Collects what is logged as an error by the delivery door."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class NodeEnd:
    """`serve` as often as wanted. Each stream meets a new node."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._errors = Errors()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loop.set_exception_handler(lambda _, context: self._errors.lines.append(repr(context)))
        logger = logging.getLogger("node")
        logger.addHandler(self._errors)
        logger.propagate = False

    def serve(self, rng: random.Random, pieces: Iterator[bytes]) -> None:
        """Raises AssertionError, or what the door raised."""
        self._errors.lines.clear()
        self._loop.run_until_complete(self._serve(rng, pieces))
        assert not self._errors.lines, self._errors.lines

    async def _serve(self, rng: random.Random, pieces: Iterator[bytes]) -> None:
        store, time = Store(), Time()
        server = DeliveryServer(
            context=self._context,
            host="127.0.0.1",
            port=0,
            hub=Hub(store, store, "safe-0"),  # type: ignore[arg-type]
            verify=lambda token: self._verify(token, time, rng),
            applied_index=lambda: store.index,
            wait_applied=self._wait,
            clock=time,
            node="safe-0",
            stale=lambda: False,
            limits=Limits(),
        )
        server._hub.collect()
        server._hub.rebuild()
        connections = [Connection(server) for _ in range(rng.randint(1, 2))]
        transports = [Transport(connection, rng) for connection in connections]
        for connection, transport in zip(connections, transports, strict=True):
            connection.connection_made(transport)
        for piece in pieces:
            at = rng.randrange(len(connections)) if rng.random() < 0.1 else 0
            if not transports[at].ended:
                connections[at].data_received(piece)
            await self._turn(server, store, time, rng, transports)
        await self._turn(server, store, time, rng, transports)
        server.receipts()
        server.stats()
        for transport in transports:
            self._check(bytes(transport.written))
            transport.close()
        await asyncio.sleep(0)
        assert server.stats()["connections"] == server.stats()["subscribers"] == server._roster.greeting_bytes == 0
        await asyncio.sleep(0)

    async def _turn(
        self, server: DeliveryServer, store: Store, time: Time, rng: random.Random, transports: list[Transport]
    ) -> None:
        if rng.random() < 0.3:
            store.put(rng)
            server.changed()
        if rng.random() < 0.3:
            time.at += rng.choice((0.06, 0.3, 2.0, 7.0))
            server._heartbeat.tick(0.06)
        for transport in transports:
            if transport.paused and not transport.ended and rng.random() < 0.5:
                transport.paused = False
                transport.connection.resume_writing()
        for _ in range(TURNS):
            await asyncio.sleep(0)

    @staticmethod
    async def _verify(token: str, time: Time, rng: random.Random) -> Identity:
        if rng.random() < 0.05:
            raise Retry("no keys")
        words = token.split("/")
        if len(words) != 3:
            raise Rejected("the token is no good", code="token_malformed")
        return Identity(words[0], words[1], words[2], time.wall_ms() / 1000 + 5, "")

    @staticmethod
    async def _wait(index: int, timeout: float) -> bool:
        return False

    @staticmethod
    def _check(written: bytes) -> None:
        """What went out is what a sidecar can read."""
        for kind, body in FrameReader().feed(written):
            m.FROM_NODE[kind].from_body(body)
