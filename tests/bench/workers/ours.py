"""One node of node.raft alone: real TLS, a real sealed and fsynced WAL, and a state machine that only counts.

Started by rows/raft.py. Callers run in this process, which leads when it is asked to run them.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvloop
from workers import control

from node.clock import SystemClock
from node.crypto import certs
from node.crypto.envelope import FileKeys
from node.crypto.rootkey import RootKey
from node.raft import codec
from node.raft.node import RaftNode
from node.settings import Address, Settings

RID = 16
REMEMBERED = 100_000
"""Request ids kept, as many as the store keeps."""
TIMEOUT = 10.0


class Machine:
    """Counts each request id once and remembers its answer; forgets the oldest."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: dict[bytes, bytes] = {}
        self.order: collections.deque[bytes] = collections.deque()

    def apply(self, index: int, command: bytes) -> bytes:
        rid = command[:RID]
        found = self.seen.get(rid)
        if found is None:
            self.count += 1
            found = self.seen[rid] = self.count.to_bytes(8, "big")
            self.order.append(rid)
            if len(self.order) > REMEMBERED:
                # Not next(iter(dict)): that walks over everything deleted before.
                del self.seen[self.order.popleft()]
        return found

    def capture(self) -> Iterable[bytes]:
        return [codec.pack((self.count, tuple(self.seen.items())))]

    def load(self, chunks: Iterable[bytes]) -> Any:
        return codec.unpack(b"".join(chunks))

    def adopt(self, state: Any) -> None:
        self.count, self.seen = state[0], dict(state[1])
        self.order = collections.deque(self.seen)


def make(options: dict[str, Any]) -> RaftNode:
    """The node that `options` describe: name, cluster, peers (name -> port), data, identity."""
    identity = Path(options["identity"])
    peers = {name: Address("127.0.0.1", port) for name, port in options["peers"].items()}
    name = options["name"]
    settings = Settings(
        name=name,
        peers=peers,
        data_dir=Path(options["data"]),
        identity_dir=identity,
        cluster=options["cluster"],
        peer_listen=peers[name],
    )
    authority = certs.Authority.load(identity, "peer")
    leaf = authority.issue([name])
    contexts = certs.server_context(leaf, authority.cert_pem), certs.client_context(authority.cert_pem, leaf)
    keys = FileKeys(RootKey.load(identity), settings.cluster)
    return RaftNode(settings, Machine(), keys, lambda: contexts, SystemClock())


async def run(node: RaftNode, callers: int, size: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Commits a second of `callers` that each wait for their answer before they ask again."""
    done, running = itertools.count(), True
    value, prefix = os.urandom(size), os.urandom(8)
    numbers = itertools.count()

    async def caller() -> None:
        while running:
            await node.propose(prefix + next(numbers).to_bytes(8, "big") + value, TIMEOUT)
            next(done)

    tasks = [asyncio.ensure_future(caller()) for _ in range(callers)]
    await asyncio.sleep(warm_up)
    first, begin = next(done), time.perf_counter()
    await asyncio.sleep(seconds)
    last, end = next(done), time.perf_counter()
    running = False
    await asyncio.gather(*tasks)
    return {"rate": (last - first - 1) / (end - begin), "led": node.core.leading}


async def main() -> None:
    node = make(json.loads(sys.argv[1]))
    await node.start()
    gc.collect()
    gc.freeze()  # as node.app does

    async def handle(asked: dict[str, Any]) -> dict[str, Any]:
        if node.failed.done():
            node.failed.result()
        if asked.pop("do") == "state":
            return {"leader": node.core.leading and node.status().ready}
        return await run(node, **asked)

    await control.serve(handle)
    await node.stop()


if __name__ == "__main__":
    uvloop.run(main())
