"""Three nodes and many sidecars as real processes, each node cut off at will by dropping its packets.

Why it exists: `safe dev`'s cluster, on addresses that tell one node's packets from another's. Node i is dialled by
sidecars at 127.20.0.1+i and by node j at 127.10+j.0.1+i; admins reach it by its port.
What it refuses to do: run outside a network namespace made for it: the rules drop packets.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from typing import Any, Final

from statefulset.chaos.history import Secret
from statefulset.cli.dev.harness import DevCluster, Options, Workload

STARTING: Final = 6
"""Sidecars that start at once: an interpreter with TLS is a third of a second of a processor."""
PATIENCE: Final = 120.0
SET: Final = Secret("demo/set", ("user", "password", "host", "ca"), ("demo/*",))
"""The marker set: four fields that belong together, in every pod."""
COMMON: Final = Secret("demo/common", ("value",), ("demo/*",))


def own(pod: str) -> Secret:
    """What only one pod has."""
    return Secret(f"demo/own-{pod}", ("value",), (f"demo/{pod}",))


def peer(dialer: int, dialed: int) -> str:
    return f"127.{10 + dialer}.0.{1 + dialed}"


def door(node: int) -> str:
    return f"127.20.0.{1 + node}"


class Cluster(DevCluster):
    """`filter_` is the path of iptables-restore."""

    def __init__(self, filter_: str, said: Any) -> None:
        super().__init__(Options(workloads=0, port=0, private=True, restart=False), said)
        self._filter = filter_

    def _marked(self, env: dict[str, str]) -> dict[str, str]:
        if "SAFE_NAME" in env:
            env = env | self._node_addresses(self.names.index(env["SAFE_NAME"]))
        elif "SAFE_NODES" in env:
            env = env | {"SAFE_NODES": self._doors()}
        return super()._marked(env)

    def _doors(self) -> str:
        return ",".join(f"{door(number)}:{node.delivery}" for number, node in enumerate(self.ports.nodes))

    def _node_addresses(self, own_: int) -> dict[str, str]:
        ports = self.ports.nodes
        peers = (f"{name}={peer(own_, other)}:{ports[other].peer}" for other, name in enumerate(self.names))
        return {
            "SAFE_PEERS": ",".join(peers),
            "SAFE_PEER_LISTEN": f"0.0.0.0:{ports[own_].peer}",
            "SAFE_DELIVERY_LISTEN": f"{door(own_)}:{ports[own_].delivery}",
            "SAFE_SERVER_NAMES": f"localhost,127.0.0.1,{door(own_)}",
        }

    def cut(self, name: str) -> float:
        """From now on every packet from and to this node is dropped. Returns the wall time."""
        node = self.names.index(name)
        links = [door(node)]
        for other in range(len(self.names)):
            if other != node:
                links += [peer(node, other), peer(other, node)]
        admin = self.ports.nodes[node].admin
        rules = [f"-A INPUT -{way} {link} -j DROP" for link in links for way in "sd"]
        rules += [f"-A INPUT -p tcp --{way}port {admin} -j DROP" for way in "sd"]
        at = time.time()
        self._apply(rules)
        return at

    def mend(self) -> None:
        self._apply(())

    def _apply(self, rules: Iterable[str]) -> None:
        text = "\n".join(["*filter", ":INPUT ACCEPT [0:0]", *rules, "COMMIT", ""])
        subprocess.run([self._filter], input=text, text=True, check=True)

    # -- sidecars ----------------------------------------------------------------------------------------------------

    def add_pods(self, names: Iterable[str]) -> None:
        """Start them a few at a time. Raises DevError."""
        waiting: list[Workload] = []
        deadline = time.monotonic() + PATIENCE
        for name in (*names, ""):
            while len(waiting) >= STARTING or (waiting and not name):
                waiting = [each for each in waiting if not sidecar_status(each).get("complete")]
                if time.monotonic() > deadline:
                    raise self.trouble([each.process for each in waiting], f"no first set in {PATIENCE:g} s")
                time.sleep(0.02)
            if name:
                waiting.append(self.add_workload(name))

    def attached(self, nodes: Iterable[str] | None = None) -> dict[str, tuple[str, float, dict[str, int]]]:
        """Pod -> (node, when its stream began, versions in place), of those connected to one of `nodes` (any)."""
        out = {}
        for node, receipts in self.ask("/v1/sidecars").items():
            if nodes is None or node in nodes:
                for each in receipts:
                    if each["connected"]:
                        out[each["pod"]] = (node, each["since_ms"] / 1000, each["placed"])
        return out


def sidecar_status(workload: Workload) -> dict[str, Any]:
    """Its status file; empty if there is none yet."""
    try:
        found: dict[str, Any] = json.loads((workload.mount / "..status.json").read_bytes())
    except FileNotFoundError:
        return {}
    return found
