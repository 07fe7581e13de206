"""The admin API over a real Store and a real Keyring, behind a one-member stand-in for Raft that applies at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientResponse, ClientSession, TCPConnector

from node.admin.rights import Right
from node.admin.server import AdminServer
from node.admin.services import Services
from node.clock import SystemClock
from node.crypto.keyring import Keyring
from node.crypto.rootkey import RootKey
from node.crypto.sealing import SealKey
from node.delivery import policy
from node.delivery.explain import Explainer
from node.delivery.receipts import Receipt
from node.delivery.rollout import Standing, concerns, stand
from node.errors import Rejected, Retry
from node.raft.node import RaftStatus
from node.settings import Address, Settings
from node.store import commands
from node.store.fsm import Store
from node.tokens.person import Person

ADMIN = "system:serviceaccount:ops:admin"
TOKEN = "good-token"


class OneMember:
    """Raft with one voter: what is proposed is applied at once. Settable: quorum, hang (seconds), broken."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.quorum = True
        self.ready = True
        self.disk_ok = True
        self.state = "leader"
        self.voters = ("safe-0",)
        self.hang = 0.0
        self.hanging = 0
        self.broken: BaseException | None = None
        self.proposed: list[bytes] = []
        self.barriers = 0
        self.index = 0
        self.resized = 0
        self.size = 1

    async def _may(self) -> None:
        if self.hang:
            self.hanging += 1
            await asyncio.sleep(self.hang)
        if self.broken is not None:
            raise self.broken
        if not self.quorum:
            raise Retry(
                "no quorum: 1 of 3 voters are in reach", code="no_quorum", hint="wait for a majority", after=1.0
            )

    async def propose(self, command: bytes, timeout: float) -> bytes:
        assert timeout > 0
        await self._may()
        self.proposed.append(command)
        self.index += 1
        return self.store.apply(self.index, command)

    async def resize(self, size: int, timeout: float) -> int:
        assert timeout > 0
        await self._may()
        if size > 9:
            raise Rejected("a cluster has 1 to 9 members")
        self.index, self.size, self.resized = self.index + 1, size, self.resized + 1
        self.store._state.index = self.index  # a position of the log that holds nothing for the store
        return self.index

    async def read_barrier(self, timeout: float) -> int:
        assert timeout > 0
        await self._may()
        self.barriers += 1
        return self.index

    async def wait_applied(self, index: int, timeout: float) -> bool:
        return self.store.index + self.resized >= index  # an entry about members is none of the store's

    def status(self) -> RaftStatus:
        known = {field.name for field in dataclasses.fields(RaftStatus)}
        values: dict[str, Any] = {
            "name": "safe-0",
            "member": "safe-0.abc",
            "state": self.state,
            "leader": "safe-0" if self.quorum else None,
            "term": 1,
            "commit_index": self.index,
            "applied": self.index,
            "last_index": self.index,
            "voters": self.voters,
            "learners": (),
            "size": self.size,
            "connected": (),
            "quorum": self.quorum,
            "ready": self.ready,
            "disk_ok": self.disk_ok,
        }
        return RaftStatus(**{key: value for key, value in values.items() if key in known})


class Gate:
    """Knows two tokens; anything else is malformed. `broken` is raised instead, if set. `rights`: of a person by name,
    as (verb, resource/subresource, namespace, name), "*" for any; the admin has all of them."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.rights: dict[str, set[tuple[str, str, str, str]]] = {ADMIN: {("*", "*", "*", "*")}}
        self.asked: list[Right] = []

    async def who(self, token: str) -> Person:
        if self.broken is not None:
            raise self.broken
        names = {TOKEN: ADMIN, "workload-token": "system:serviceaccount:payments:api"}
        if token == "expired-token":
            raise Rejected("the token has expired", code="token_expired", hint="get a new one")
        if token not in names:
            raise Rejected("this is not a token", code="token_malformed", hint="send a service-account token")
        return Person(names[token], "uid-1", ("system:authenticated",))

    async def may(self, person: Person, right: Right) -> bool:
        self.asked.append(right)
        asked = (right.verb, right.what, right.namespace, right.name)
        rules = self.rights.get(person.name, set())
        return any(all(part in ("*", word) for part, word in zip(rule, asked, strict=True)) for rule in rules)


class Connected:
    """The sidecars of this node."""

    def __init__(self) -> None:
        self.all: list[Receipt] = []

    def add(self, pod: str, placed: dict[str, int], **more: Any) -> None:
        values: dict[str, Any] = {
            "pod": pod,
            "namespace": "payments",
            "serviceaccount": "api",
            "node": "safe-0",
            "since_ms": 1_700_000_000_000,
            "index": 1,
            "placed": placed,
            "error": "",
            "mode": "run",
            "agent": "test",
            **more,
        }
        self.all.append(Receipt(**values))

    def receipts(self) -> list[Receipt]:
        return self.all

    def stats(self) -> dict[str, int]:
        return {"connections": 4, "subscribers": 2, "welcomed": 3, "delivery.refused token_expired": 7}

    async def rollout(self, record: Any) -> AsyncIterator[Standing]:
        for receipt in self.all:
            if concerns(record, receipt):
                yield stand(record, receipt, receipt.since_ms + 1, stale=False, applied=0)


class Node:
    """Everything behind one admin API, to be looked at and broken by a test."""

    def __init__(self, deadline: float = 5.0, with_key: bool = True) -> None:
        self.clock = SystemClock()
        self.store = Store()
        self.raft = OneMember(self.store)
        self.keyring = Keyring(RootKey(bytes(range(32))), "test")
        self.sealing = SealKey(bytes(range(32)))
        self.gate = Gate()
        self.sidecars = Connected()
        self.settings = Settings("safe-0", {"safe-0": Address("x", 1)}, Path("/x"), Path("/x"))
        self.services = Services(
            raft=self.raft,
            store=self.store,
            keyring=self.keyring,
            sealing=self.sealing,
            gate=self.gate,
            sidecars=self.sidecars,
            explainer=Explainer(self.store, self.granted, self.clock),
            clock=self.clock,
            settings=self.settings,
            request_key=bytes(32),
            deadline=deadline,
        )
        if with_key:
            self.add_key()

    def granted(self, namespace: str, serviceaccount: str) -> list[str]:
        """What the hub's index knows at once, by looking at every secret."""
        every = self.store.list(limit=1000)
        return [one.name for one in every if policy.granted(one.grants, namespace, serviceaccount)]

    def add_key(self) -> None:
        command = commands.AddKey(rid=bytes(16), t=1, actor="node", generation=1, wrapped=self.keyring.new_key(1))
        self.raft.index += 1
        self.store.apply(self.raft.index, commands.encode(command))
        self.keyring.absorb(self.store.keys)

    def value(self, name: str) -> dict[str, bytes]:
        record = self.store.get(name)
        assert record is not None
        return self.keyring.open_value(name, record.generation, record.write_id, record.sealed)


class Tls:
    """A certificate for localhost and who believes it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        leaf = self.ca.issue_cert("localhost", "127.0.0.1")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.minimum_version = ssl.TLSVersion.TLSv1_3
        leaf.configure_cert(self.server)
        self.client = ssl.create_default_context()
        self.ca.configure_trust(self.client)


class Api:
    """A client of a running server."""

    def __init__(self, node: Node, session: ClientSession, server: AdminServer) -> None:
        self.node = node
        self.session = session
        self.server = server
        self.port = server.port

    async def call(self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str) -> Answer:
        every = {key.replace("_", "-"): value for key, value in headers.items()}
        if token is not None:
            every.setdefault("Authorization", f"Bearer {token}")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            every.setdefault("Content-Type", "application/json")
        async with self.session.request(method, path, data=data, headers=every) as response:
            return Answer(response, await response.read())

    async def put(self, name: str, value: bytes = b"v", **more: Any) -> Answer:
        body = {"fields": {"value": base64.b64encode(value).decode()}, **more}
        return await self.call("PUT", f"/v1/secrets/{name}", body)


class Answer:
    def __init__(self, response: ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.type = response.content_type
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        assert self.type == "application/problem+json", self.body
        code = self.json["code"]
        assert isinstance(code, str)
        return code


class Lines(logging.Handler):
    """Everything that is logged, as text, with exceptions and all."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.args!r}")


@contextlib.asynccontextmanager
async def serving(node: Node, tls: Tls) -> AsyncIterator[Api]:
    server = AdminServer(node.services)
    await server.start(Address("127.0.0.1", 0), tls.server)
    connector = TCPConnector(ssl=tls.client)
    async with ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as session:
        try:
            yield Api(node, session, server)
        finally:
            # First, or the stop would give this client its time to ask once more.
            await session.close()
            await server.stop()


@pytest.fixture(scope="session")
def tls() -> Tls:
    return Tls()


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def api(node: Node, tls: Tls) -> AsyncIterator[Api]:
    async with serving(node, tls) as api:
        yield api


@pytest.fixture
def make_api(tls: Tls):
    """serving(Node(...)) for tests that need a node of another kind."""
    return lambda **settings: serving(Node(**settings), tls)


@pytest.fixture
def logged():
    """All log lines of the process from DEBUG on."""
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def audited():
    """The audit lines, parsed."""
    lines: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    handler, log = Handler(), logging.getLogger("audit")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)
