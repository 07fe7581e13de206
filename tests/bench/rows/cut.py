"""Row `cut`: the leader's links to its peers drop every packet, in a network namespace of our own.

Every node dials the others at addresses of its own (127.10+i.0.1+j), so that one link can be told from another by
address; clients still reach every node. Needs root, `unshare`, `ip` and `iptables`; left out without them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import uvloop
from children import HERE, BenchError
from load.outage import Outage
from plan import Plan
from rows import cluster
from rows.outages import FREEZE_PERIOD, lines, repeat
from runner import LeftOut
from table import Line
from tools import Missing, need

from statefulset.cli.dev import programs
from statefulset.cli.dev.harness import DevCluster

HOUR = 3600.0
MARK = "CUT "


def run(plan: Plan, said: Callable[[str], None]) -> list[Line]:
    """Starts this module in a namespace and reads what it found. Raises LeftOut or BenchError."""
    try:
        unshare = need("unshare", "util-linux", said)
        ip, tables = need("ip", "iproute2", said), need("iptables", "iptables", said)
    except Missing as error:
        raise LeftOut(str(error)) from None
    probe = [unshare, "--net", "sh", "-c", f"{ip} link set lo up && {tables} -A INPUT -s 127.99.0.1 -j DROP"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LeftOut(f"no network namespace with iptables here: {done.stderr.strip()}")
    inner = [sys.executable, "-m", "rows.cut", str(plan.cuts), tables]
    command = [unshare, "--net", "sh", "-c", f'{ip} link set lo up && exec "$@"', "sh", *inner]
    done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, timeout=HOUR, check=False)
    found: list[Outage] = []
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            found = [Outage(**each) for each in json.loads(line.removeprefix(MARK))]
        else:
            said(line)
    if done.returncode != 0 or not found:
        raise BenchError(f"the row cut ended with code {done.returncode}")
    return lines("cut", "the leader's links cut to the next PUT", found, 900, 1600)


class CutCluster(DevCluster):
    """Three nodes whose links can be cut."""

    def _start_node(self, name: str) -> None:
        env = programs.node_env(
            name, self.ports, self.home.node_data(name), self.home.identity, self.issuer.url, self.issuer.ca_file
        )
        own = self.names.index(name)
        ports = [node.peer for node in self.ports.nodes]
        env["SAFE_PEERS"] = ",".join(
            f"{peer}={address(own, other)}:{ports[other]}" for other, peer in enumerate(self.names)
        )
        env["SAFE_PEER_LISTEN"] = f"0.0.0.0:{ports[own]}"
        data = self.home.node_data(name)
        self.supervisor.start(self._program(name, programs.command("safe-node"), env, data))


def address(dialer: int, dialed: int) -> str:
    return f"127.{10 + dialer}.0.{1 + dialed}"


def rules(node: int, count: int) -> Iterable[str]:
    """What drops every packet between `node` and its peers, both ways."""
    for other in range(count):
        if other != node:
            for link in (address(node, other), address(other, node)):
                yield f"-A INPUT -s {link} -j DROP"
                yield f"-A INPUT -d {link} -j DROP"


def main() -> None:
    count, tables = int(sys.argv[1]), sys.argv[2]
    restore = f"{tables}-restore"

    def apply(lines_: Iterable[str]) -> None:
        text = "\n".join(["*filter", ":INPUT ACCEPT [0:0]", *lines_, "COMMIT", ""])
        subprocess.run([restore], input=text, text=True, check=True)

    def cut(made: DevCluster, leader: str) -> float:
        at = time.monotonic()
        apply(rules(made.names.index(leader), len(made.names)))
        return at

    with CutCluster(cluster.OPTIONS) as made:
        uvloop.run(cluster.first_puts(cluster.api(made)))
        found = repeat(made, count, FREEZE_PERIOD, cut, lambda _: apply(()), print, "cut")
    print(MARK + json.dumps([dataclasses.asdict(each) for each in found]), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
