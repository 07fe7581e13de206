"""A node as a sidecar sees one: TLS, ServerProtocol and a small map, all in the test's own loop.

Why it exists: the sidecar must be tested against the real wire by a real process, and without the node's own code. What
it refuses to do: Raft, tokens (it looks only at the text), or anything a test does not steer by hand.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError
from sidecar.wire.protocol import ServerProtocol, State, negotiate


def make_token(namespace: str = "shop", account: str = "web", lifetime: float = 3600.0, mark: str = "") -> str:
    def part(body: Mapping[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()

    claims = {"sub": f"system:serviceaccount:{namespace}:{account}", "exp": time.time() + lifetime, "jti": mark}
    return ".".join((part({"alg": "RS256", "typ": "JWT"}), part(claims), "c2lnbmF0dXJl"))


class Peer(asyncio.Protocol):
    """One accepted stream."""

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self.wire = ServerProtocol()
        self.received: list[m.ClientMessage] = []
        self.transport: asyncio.Transport | None = None
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.node.peers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.wire.close()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self.wire.receive_data(data)
        except ProtocolError as error:
            self.node.violations.append(str(error))
            self.end()
            return
        for message in messages:
            self.received.append(message)
            if isinstance(message, m.Hello):
                self.node.greet(self, message)
            elif isinstance(message, m.Ping) and not self.node.mute:
                self.write(self.wire.send_pong(m.Pong(message.n)))
            elif isinstance(message, m.Bye):
                self.end()

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def receipts(self) -> list[m.Receipt]:
        return [message for message in self.received if isinstance(message, m.Receipt)]


class FakeNode:
    def __init__(self, name: str, authority: trustme.CA) -> None:
        self.name = name
        self.authority = authority
        self.port = 0
        self.index = 1
        self.store = ""
        self.heartbeat_ms = 60_000
        self.mute = False
        self.refusal: m.Refused | None = None
        self.secrets: dict[str, m.Secret] = {}
        self.denied: dict[str, str] = {}
        self.peers: list[Peer] = []
        self.violations: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), "127.0.0.1", self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """As a crash looks from outside: nobody listens, every stream is reset."""
        if self._server is not None:
            self._server.close()
        for peer in self.peers:
            if peer.transport is not None:
                peer.transport.abort()
        await asyncio.sleep(0)

    def live(self) -> list[Peer]:
        """Those that were greeted; a put reaches the others by their greeting."""
        return [peer for peer in self.peers if not peer.gone and peer.wire.state is State.GREETED]

    def greet(self, peer: Peer, hello: m.Hello) -> None:
        if self.refusal is not None:
            peer.write(peer.wire.send_refused(self.refusal))
            peer.end()
            return
        version = negotiate(hello.versions)
        assert version is not None
        welcome = m.Welcome(version, self.name, self.index, self.heartbeat_ms, False, store=self.store)
        peer.write(peer.wire.send_welcome(welcome))
        have = hello.have if not self.store or hello.store in ("", self.store) else {}
        for name, secret in self.secrets.items():
            if (not hello.want or name in hello.want) and have.get(name, 0) < secret.version:
                peer.write(peer.wire.send_secret(secret))
        for name in have:
            if name not in self.secrets:
                peer.write(peer.wire.send_gone(m.Gone(name, "deleted")))
        for name, code in self.denied.items():
            peer.write(peer.wire.send_denied(m.Denied(name, code, "no grant")))
        peer.write(peer.wire.send_sync(m.Sync(self.index, False, True)))

    def put(self, name: str, version: int, fields: Mapping[str, bytes]) -> None:
        self.index += 1
        self.secrets[name] = m.Secret(name, version, self.index, fields)
        for peer in self.live():
            peer.write(peer.wire.send_secret(self.secrets[name]))
            peer.write(peer.wire.send_sync(m.Sync(self.index, False, False)))

    def delete(self, name: str) -> None:
        self.index += 1
        del self.secrets[name]
        for peer in self.live():
            peer.write(peer.wire.send_gone(m.Gone(name, "deleted")))
            peer.write(peer.wire.send_sync(m.Sync(self.index, False, False)))


class Rig:
    """A pod: its mount in memory, its token, its CA file, and the processes started in it."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.folder = folder
        self.mount = folder / "mount"
        self.token_file = folder / "token"
        self.ca_file = folder / "ca.pem"
        self.authority = authority
        self.mount.mkdir()
        self.token_file.write_text(make_token())
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.processes: list[asyncio.subprocess.Process] = []
        self.nodes: list[FakeNode] = []

    async def node(self, name: str) -> FakeNode:
        node = FakeNode(name, self.authority)
        await node.start()
        self.nodes.append(node)
        return node

    def environment(self, **changes: str) -> dict[str, str]:
        base = {
            "SAFE_NODES": ",".join(f"127.0.0.1:{node.port}" for node in self.nodes) or "127.0.0.1:1",
            "SAFE_CA_FILE": str(self.ca_file),
            "SAFE_TOKEN_FILE": str(self.token_file),
            "SAFE_TARGET": str(self.mount),
            "SAFE_POD": "web-0",
        }
        return {**base, **changes}

    async def start(self, *arguments: str, **changes: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "safe-sidecar"),
            *arguments,
            env=self.environment(**changes),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        for node in self.nodes:
            await node.kill()

    def status(self) -> dict[str, object]:
        try:
            return dict(json.loads((self.mount / "..status.json").read_text()))
        except FileNotFoundError:
            return {}


async def until(ready: Callable[[], object], seconds: float = 30.0) -> None:
    """Poll with a deadline far beyond what is needed: only a hang fails by it."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="raftsafe-test-", dir="/dev/shm"))
    yield folder
    for path, folders, _ in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):
                (Path(path) / name).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def rig(memory: Path, authority: trustme.CA) -> AsyncIterator[Rig]:
    made = Rig(memory, authority)
    yield made
    await made.close()


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
def token() -> Callable[..., str]:
    return make_token
