"""Our own three nodes for the rows that go through the API: real processes, as `safe dev` starts them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from load.api import Safe, client_context
from statefulset.cli.dev.harness import DevCluster, Options


@contextlib.contextmanager
def three() -> Iterator[DevCluster]:
    """Nodes, a token issuer and nothing else, on free ports, in folders that go away."""
    with DevCluster(Options(workloads=0, port=0, private=True, restart=False)) as made:
        yield made


def api(cluster: DevCluster) -> Safe:
    ports = {name: node.admin for name, node in zip(cluster.names, cluster.ports.nodes, strict=True)}
    return Safe(ports, client_context(cluster.home.ca_file), cluster.home.admin_token)


def heal(cluster: DevCluster) -> None:
    """Until every node runs, is ready and has caught up."""
    cluster.again(*(name for name in cluster.names if name not in cluster.running()))
    cluster.wait_ready(cluster.names)
    cluster.settle()
