"""Doubles for what delivery reads (a store of records, a keyring), and a little world around the real hub."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgpack
import pytest
import trustme

from node.clock import SystemClock
from node.delivery.hub import Hub
from node.delivery.limits import Limits
from node.delivery.server import DeliveryServer
from node.delivery.subscriber import Close, Send, Subscription, Unopened, Withheld
from node.errors import Rejected
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader
from sidecar.wire.protocol import VERSIONS, ClientProtocol


@dataclasses.dataclass(frozen=True)
class Record:
    name: str
    version: int = 1
    index: int = 1
    deleted: bool = False
    not_before_ms: int | None = None
    expires_ms: int | None = None
    grants: tuple[str, ...] = ()
    generation: int = 1
    write_id: bytes = b"w"
    sealed: bytes = b""


@dataclasses.dataclass(frozen=True)
class Change:
    name: str
    index: int


class DictSource:
    """The applied state as a dict."""

    def __init__(self) -> None:
        self.index = 0
        self.records: dict[str, Record] = {}
        self.changes: list[Change] = []

    def get(self, name: str) -> Record | None:
        return self.records.get(name)

    def list(self, namespace: str | None = None, prefix: str = "", after: str = "", limit: int = 100) -> list[Record]:
        return [self.records[name] for name in sorted(self.records) if name > after][:limit]

    def drain_changes(self) -> list[Change]:
        taken, self.changes = self.changes, []
        return taken

    def put(self, name: str, value: bytes | None = None, **more: object) -> Record:
        """One log entry: the record with these attributes changed; a value makes a new version."""
        self.index += 1
        old = self.records.get(name, Record(name, version=0))
        if value is not None:
            more |= {"version": old.version + 1, "sealed": msgpack.packb({"value": value})}
        record = dataclasses.replace(old, index=self.index, **more)
        self.records[name] = record
        self.changes.append(Change(name, self.index))
        return record

    def purge(self, name: str) -> None:
        self.index += 1
        del self.records[name]
        self.changes.append(Change(name, self.index))


class ClearOpener:
    """Opens what DictSource "sealed"; `broken` names cannot be opened. Counts how often it was asked."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.opened: list[str] = []

    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> Mapping[str, bytes]:
        self.opened.append(name)
        if name in self.broken:
            raise ValueError(f"cannot open {sealed!r}")
        fields: dict[str, bytes] = msgpack.unpackb(sealed)
        return fields


class World:
    """A hub, its store, a wall clock, and what every subscriber was sent, decoded."""

    def __init__(self, **limits: int) -> None:
        self.source = DictSource()
        self.opener = ClearOpener()
        self.hub = Hub(self.source, self.opener, "safe-0", **limits)
        self.wall_ms = 1_000_000
        self.inbox: dict[int, list[m.NodeMessage]] = {}
        self.frames: dict[int, list[bytes]] = {}
        self.closed: list[int] = []
        self.withheld: list[tuple[int, str, str]] = []
        self.unopened: list[Unopened] = []
        self.slow: set[int] = set()

    def join(self, identity: str = "shop/web", **asked: object) -> int:
        namespace, _, serviceaccount = identity.partition("/")
        asked = {"pod": f"pod-{len(self.inbox)}", "instance": f"i-{len(self.inbox)}"} | asked
        asked["want"] = frozenset(asked.get("want", ()))  # type: ignore[call-overload]
        number, actions = self.hub.subscribe(
            Subscription(namespace, serviceaccount, **asked),  # type: ignore[arg-type]
            self.wall_ms,
        )
        self.inbox[number], self.frames[number] = [], []
        self._do(actions)
        return number

    def rebuild(self) -> None:
        after = self.hub.rebuild()
        while after:
            after = self.hub.rebuild(after)

    def run(self, budget: int = 512) -> int:
        """Everything the hub has to do, readers taking all of it at once unless `slow`. Returns the slices it took."""
        self.hub.collect()
        slices = 0
        while self.hub.busy:
            self._do(self.hub.work(self.wall_ms, budget=budget))
            slices += 1
            assert slices < 10_000
        return slices

    def drain(self, number: int) -> None:
        """A slow reader has taken all that was sent."""
        self.hub.drained(number, 0)
        self.run()

    def take(self, number: int) -> list[m.NodeMessage]:
        self.run()
        messages, self.inbox[number] = self.inbox[number], []
        return messages

    @staticmethod
    def said(messages: list[m.NodeMessage]) -> list[Any]:
        """A batch in short: (name, version) of secrets, (name, code) of the rest, and the syncs."""
        short: list[Any] = []
        for message in messages:
            match message:
                case m.Secret():
                    short.append((message.name, message.version))
                case m.Gone() | m.Denied():
                    short.append((type(message).__name__, message.name, message.code))
                case m.Sync():
                    short.append("FULL" if message.full else "SYNC")
                case m.Stale():
                    short.append(("Stale", message.stale))
        return short

    def later(self, ms: int) -> None:
        self.wall_ms += ms
        self.hub.tick(self.wall_ms)

    def _do(self, actions: list[object]) -> None:
        sent = set()
        for action in actions:
            if isinstance(action, Send):
                self.frames[action.subscriber].append(action.frame)
                ((kind, body),) = FrameReader().feed(action.frame)
                self.inbox[action.subscriber].append(m.FROM_NODE[kind].from_body(body))
                sent.add(action.subscriber)
            elif isinstance(action, Close):
                self.closed.append(action.subscriber)
            elif isinstance(action, Withheld):
                self.withheld.append(tuple(action))
            elif isinstance(action, Unopened):
                self.unopened.append(action)
        for number in sent - self.slow:
            self.hub.drained(number, 0)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return Record


@dataclasses.dataclass(frozen=True)
class Identity:
    namespace: str
    serviceaccount: str
    pod: str | None
    expires: float


class SetClock(SystemClock):
    """The real clock with a wall that can be moved."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms


class Client:
    """A sidecar as the wire describes it, over real TLS: applies batches at their SYNC, answers pings, keeps `held`."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context
        self.protocol = ClientProtocol()
        self.held: dict[str, tuple[int, dict[str, bytes]]] = {}
        self.messages: list[m.NodeMessage] = []
        self.refused: m.Refused | None = None
        self.welcome: m.Welcome | None = None
        self.stale: bool | None = None
        self.full = False
        self.goaway: m.Goaway | None = None
        self.syncs = 0
        self.ended = False
        self.deaf = False
        self._batch: list[m.Secret | m.Gone] = []
        self._news = asyncio.Event()
        self._reader_task: asyncio.Task[None] | None = None

    async def dial(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="127.0.0.1", limit=1 << 16
        )
        self._reader_task = asyncio.create_task(self._read())
        return self

    async def join(self, token: str = "shop/web", **hello: Any) -> Client:
        await self.dial()
        fields = {"versions": VERSIONS, "pod": f"pod-{id(self)}", "instance": "i", "agent": "test/1"} | hello
        self.send(self.protocol.send_hello(m.Hello(token=token, **fields)))
        return self

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def values(self) -> dict[str, bytes]:
        return {name: fields["value"] for name, (_, fields) in self.held.items()}

    def versions(self) -> dict[str, int]:
        return {name: version for name, (version, _) in self.held.items()}

    def listen(self) -> None:
        self.deaf = False
        self._news.set()
        self._reader_task = asyncio.create_task(self._read())

    def close(self) -> None:
        if self._reader_task is not None:
            self._reader_task.cancel()
        with contextlib.suppress(AttributeError):
            self.writer.transport.abort()

    async def _read(self) -> None:
        try:
            while not self.deaf and (data := await self.reader.read(1 << 16)):
                for message in self.protocol.receive_data(data):
                    self._take(message)
                self._news.set()
        except (OSError, asyncio.IncompleteReadError):
            pass
        if not self.deaf:
            self.ended = True
        self._news.set()

    def _take(self, message: m.NodeMessage) -> None:
        self.messages.append(message)
        match message:
            case m.Welcome():
                self.welcome, self.stale = message, message.stale
            case m.Refused():
                self.refused = message
            case m.Goaway():
                self.goaway = message
                self.writer.close()
            case m.Ping():
                self.send(self.protocol.send_pong(m.Pong(message.n)))
            case m.Secret() | m.Gone():
                self._batch.append(message)
            case m.Stale():
                self.stale = message.stale
            case m.Sync():
                self.syncs += 1
                self.full = self.full or message.full
                self.stale = message.stale
                for change in self._batch:
                    if isinstance(change, m.Gone):
                        self.held.pop(change.name, None)
                    else:
                        assert change.version >= self.held.get(change.name, (0,))[0]
                        self.held[change.name] = (change.version, dict(change.fields))
                self._batch.clear()


class Site:
    """A real server on loopback around the real hub, with a store to write to."""

    def __init__(self, server_context: ssl.SSLContext, client_context: ssl.SSLContext, **limits: Any) -> None:
        hub_limits = {key: limits.pop(key) for key in ("queue_limit", "cache_limit") if key in limits}
        self.world = World(**hub_limits)
        self.source = self.world.source
        self.source.index = limits.pop("index", 1)
        self.clock = SetClock()
        self.client_context = client_context
        self.is_stale = False
        self.store = ""
        self.applied = asyncio.Condition()
        self.expires_in = 3600.0
        self.verifying: Callable[[str], Awaitable[Identity]] = self.verify
        self.dead: set[str] = set()
        self.clients: list[Client] = []
        times: dict[str, Any] = {"silent": 20, "greeting": 20.0, "behind": 0.5, "leeway": 0.0, "retry_ms": 100}
        self.server = DeliveryServer(
            context=server_context,
            host="127.0.0.1",
            port=0,
            hub=self.world.hub,
            verify=lambda token: self.verifying(token),
            revoked=lambda token, namespace, serviceaccount: f"{token} {namespace}/{serviceaccount}" in self.dead,
            applied_index=lambda: self.source.index,
            wait_applied=self.wait_applied,
            clock=self.clock,
            node="safe-0",
            cluster="test",
            stale=lambda: self.is_stale,
            store=lambda: self.store,
            limits=Limits(**(times | limits)),
        )

    async def verify(self, token: str) -> Identity:
        """Tokens are `namespace/serviceaccount[/pod]`, or the code to be refused with."""
        if "/" not in token:
            raise Rejected(f"the token is no good: {token}", code=token, hint="get another one")
        namespace, serviceaccount, *pod = token.split("/")
        return Identity(
            namespace, serviceaccount, pod[0] if pod else None, self.clock.wall_ms() / 1000 + self.expires_in
        )

    async def wait_applied(self, index: int, timeout: float) -> bool:
        async with self.applied:
            try:
                await asyncio.wait_for(self.applied.wait_for(lambda: self.source.index >= index), timeout)
            except TimeoutError:
                return False
        return True

    def put(self, name: str, value: bytes | None = None, **more: object) -> None:
        """One applied command."""
        self.source.put(name, value, **more)
        self.server.changed()

    def client(self) -> Client:
        client = Client(self.server.port, self.client_context)
        self.clients.append(client)
        return client

    async def join(self, token: str = "shop/web", **hello: Any) -> Client:
        return await self.client().join(token, **hello)


@pytest.fixture(scope="session")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    leaf.configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
async def start_site(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    sites: list[Site] = []

    async def start(**limits: Any) -> Site:
        site = Site(*contexts, **limits)
        sites.append(site)
        await site.server.start()
        return site

    yield start
    for site in sites:
        for client in site.clients:
            client.close()
        await site.server.close()
    await asyncio.sleep(0)


@pytest.fixture
async def site(start_site: Callable[..., Awaitable[Site]]) -> Site:
    return await start_site()


@pytest.fixture
def audit_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    caplog.set_level(logging.INFO, logger="audit")
    return lambda: [json.loads(record.message) for record in caplog.records if record.name == "audit"]


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    async def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "did not come about"
            await asyncio.sleep(0.01)

    return wait
