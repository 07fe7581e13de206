"""Which ports a development cluster takes on loopback.

Why it exists: the same numbers at every run, so that what a person typed once works again; and one clear line when one
of them is taken. What it refuses to do: listen on anything but loopback, or choose a port that the kernel may hand to
an outgoing connection: a node that is killed and restarted must find its port free.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
from pathlib import Path
from typing import Final

from statefulset.cli.dev.errors import DevError

HOST: Final = "127.0.0.1"
STEP: Final = 10
ISSUER: Final = 900
LOWEST: Final = 10_000
TRIES: Final = 64
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclasses.dataclass(frozen=True)
class NodePorts:
    """One for each door of a node."""

    peer: int
    delivery: int
    admin: int


@dataclasses.dataclass(frozen=True)
class Ports:
    nodes: tuple[NodePorts, ...]
    issuer: int

    def all(self) -> tuple[int, ...]:
        return (*(port for node in self.nodes for port in dataclasses.astuple(node)), self.issuer)


def plan(base: int, nodes: int) -> Ports:
    """Node i has base + 10 i (peers), + 1 (delivery), + 2 (admins); the issuer has base + 900. Raises DevError."""
    if not 1 <= base <= 65535 - ISSUER:
        raise DevError(f"--port {base} leaves no room: it must be 0 or 1 to {65535 - ISSUER}", code="port")
    rows = (base + STEP * i for i in range(nodes))
    return Ports(tuple(NodePorts(row, row + 1, row + 2) for row in rows), base + ISSUER)


def taken(ports: Ports) -> list[int]:
    """Those on which nothing can listen now. Bound all together, so that they are free at one moment."""
    out = []
    with contextlib.ExitStack() as stack:
        for port in ports.all():
            found = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind((HOST, port))
                found.listen(1)
            except OSError:
                out.append(port)
    return out


def _ephemeral(source: Path) -> int:
    """The lowest port of outgoing connections; Linux's default where the kernel does not say."""
    try:
        return int(source.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def choose(nodes: int, rng: random.Random, source: Path = _RANGE) -> Ports:
    """Free ports, below those that the kernel gives to outgoing connections where there is room. Raises DevError."""
    high = _ephemeral(source) - ISSUER - 1
    if high < LOWEST + 1000:
        high = 65535 - ISSUER
    for _ in range(TRIES):
        found = plan(rng.randrange(LOWEST, high), nodes)
        if not taken(found):
            return found
    raise DevError(f"no {len(found.all())} free ports were found on {HOST} in {TRIES} tries", code="port")


def settle(base: int, nodes: int, rng: random.Random) -> Ports:
    """The ports to use for `--port BASE`. Raises DevError, naming those that are in use."""
    if base == 0:
        return choose(nodes, rng)
    found = plan(base, nodes)
    if busy := taken(found):
        which = f"port {busy[0]}" if len(busy) == 1 else f"ports {', '.join(map(str, busy))}"
        verb = "is" if len(busy) == 1 else "are"
        raise DevError(
            f"{which} on {HOST} {verb} in use: give another range with --port BASE, or any free ones with --port 0",
            code="port_in_use",
        )
    return found
