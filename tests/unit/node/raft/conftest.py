"""Three real nodes in one process: real TLS, real disks, a small state machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from node.clock import SystemClock
from node.crypto import certs
from node.crypto.envelope import FileKeys
from node.crypto.rootkey import RootKey, create_identity
from node.raft import codec
from node.raft.node import RaftNode
from node.settings import Address, Settings


class Machine:
    """Appends each command once by its request id; the result is how many there are."""

    def __init__(self) -> None:
        self.seen: dict[bytes, bytes] = {}

    def apply(self, index: int, command: bytes) -> bytes:
        return self.seen.setdefault(command, str(len(self.seen) + 1).encode())

    def capture(self) -> Iterable[bytes]:
        return [codec.pack(tuple(self.seen.items()))]

    def load(self, chunks: Iterable[bytes]) -> Any:
        return dict(codec.unpack(b"".join(chunks)))

    def adopt(self, state: Any) -> None:
        self.seen = state


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Trio:
    """Nodes by name; `start` and `kill` work on real sockets and files."""

    def __init__(self, folder: Path, count: int = 3, **settings: Any) -> None:
        self.folder = folder
        self.extra = settings
        create_identity(folder / "identity", "test")
        self.root = RootKey.load(folder / "identity")
        names = [f"safe-{i}" for i in range(count)]
        self.peers = {n: Address("127.0.0.1", p) for n, p in zip(names, free_ports(count), strict=True)}
        self.nodes: dict[str, RaftNode] = {}

    def add_names(self, count: int) -> dict[str, Address]:
        """Addresses for `count` nodes in all; `peers` says which of them a node is told of."""
        names = [f"safe-{i}" for i in range(len(self.peers), count)]
        more = {n: Address("127.0.0.1", p) for n, p in zip(names, free_ports(len(names)), strict=True)}
        return {**self.peers, **more}

    async def start(self, name: str) -> RaftNode:
        authority = certs.Authority.load(self.folder / "identity", "peer")
        leaf = authority.issue([name])
        contexts = certs.server_context(leaf, authority.cert_pem), certs.client_context(authority.cert_pem, leaf)
        settings = Settings(
            name=name,
            peers=self.peers,
            data_dir=self.folder / name,
            identity_dir=self.folder / "identity",
            cluster="test",
            peer_listen=self.peers[name],
            **self.extra,
        )
        node = RaftNode(settings, Machine(), FileKeys(self.root, "test"), lambda: contexts, SystemClock())
        await node.start()
        self.nodes[name] = node
        return node

    async def start_all(self) -> None:
        for name in self.peers:
            await self.start(name)

    async def stop(self, name: str) -> None:
        node = self.nodes.pop(name)
        await node.hand_over()
        await node.stop()

    async def leader(self) -> RaftNode:
        return await self.eventually(lambda: next((n for n in self.nodes.values() if n.core.leading), None))

    async def eventually(self, look: Callable[[], Any], patience: float = 20.0) -> Any:
        async with asyncio.timeout(patience):
            while not (found := look()):
                for node in self.nodes.values():
                    if node.failed.done():
                        node.failed.result()
                await asyncio.sleep(0.01)
            return found


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[Trio]:
    made = Trio(tmp_path)
    yield made
    for name in list(made.nodes):
        with contextlib.suppress(Exception):
            await made.nodes.pop(name).stop(0.2)
