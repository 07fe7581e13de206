"""Our own three nodes for the rows that go through the API: real processes, as `safe dev` starts them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import uvloop
from children import BenchError
from load.api import OK, Safe, client_context
from load.wire import Wire

from statefulset.cli.dev.harness import DevCluster, Options

OPTIONS = Options(workloads=0, port=0, private=True, restart=False)
PATIENCE = 20.0


@contextlib.contextmanager
def three() -> Iterator[DevCluster]:
    """Nodes, a token issuer and nothing else, on free ports, in folders that go away."""
    with DevCluster(OPTIONS) as made:
        uvloop.run(first_puts(api(made)))
        yield made


async def first_puts(api: Safe) -> None:
    """Until every node takes a PUT: a node is ready a moment before the cluster's first data key has come to it.
    Raises BenchError."""
    for name, port in api.ports.items():
        wire = await Wire.dial(port, api.context)
        deadline = time.monotonic() + PATIENCE
        while (await wire.ask(api.put("first", 64)))[0] != OK:
            if time.monotonic() > deadline:
                raise BenchError(f"{name} took no PUT within {PATIENCE:g} s")
            await asyncio.sleep(0.05)
        wire.close()


def api(cluster: DevCluster) -> Safe:
    ports = {name: node.admin for name, node in zip(cluster.names, cluster.ports.nodes, strict=True)}
    pids = tuple(cluster.node(name).pid for name in cluster.names)
    return Safe(ports, client_context(cluster.home.ca_file), cluster.home.admin_token, pids=pids)


def heal(cluster: DevCluster) -> None:
    """Until every node runs, is ready and has caught up."""
    cluster.again(*(name for name in cluster.names if name not in cluster.running()))
    cluster.wait_ready(cluster.names)
    cluster.settle()
