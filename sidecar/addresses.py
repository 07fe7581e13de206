"""The addresses of the nodes: asked anew at each dial, remembered for the moment in which nobody answers.

Why it exists: when a node is cut off, the name service may be cut off with it, and a dial that waits for it would eat
the seconds in which another node has to be found. So a dial waits a fifth of a second and then goes by what it knew.
What it refuses to do: keep asking while nothing is to be dialled, or remember a name that is said not to exist.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from sidecar.dialer import Route
from sidecar.settings import Node

PATIENCE: Final = 0.2
"""Seconds for a name that was resolved before, from when it was asked for."""
UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""A definite answer. Others (EAI_AGAIN) say nothing about the name."""


def _numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Addresses:
    """One a process. Every node is looked up at most once at a time."""

    __slots__ = ("_asked", "_known", "_trouble")

    def __init__(self) -> None:
        self._known: dict[Node, tuple[str, ...]] = {}
        self._asked: dict[Node, tuple[float, asyncio.Task[None]]] = {}
        self._trouble: dict[Node, Exception] = {}

    def refresh(self, nodes: Iterable[Node]) -> None:
        """Begins to look up the names; `find` finds what has been found by then."""
        loop = asyncio.get_running_loop()
        for node in nodes:
            if node not in self._asked:
                self._asked[node] = loop.time(), loop.create_task(self._look_up(node))

    async def find(self, nodes: tuple[Node, ...]) -> list[Route]:
        """All addresses, those of a name that does not answer in time as they were. Raises OSError or ValueError (a
        host name that is none) if there are none at all."""
        loop = asyncio.get_running_loop()
        self.refresh(nodes)
        asked = [self._asked[node] for node in nodes]
        deadline = min(since for since, _ in asked) + PATIENCE
        await asyncio.wait([task for _, task in asked], timeout=max(0.0, deadline - loop.time()))
        pending = {task for _, task in asked}
        while not any(self._known.get(node) for node in nodes) and pending:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for node, (_, task) in list(self._asked.items()):
            if task.done():
                del self._asked[node]
        found = [Route(node, address) for node in nodes for address in self._known.get(node, ())]
        if not found:
            raise next((self._trouble[node] for node in nodes if node in self._trouble), OSError("no address"))
        return found

    async def _look_up(self, node: Node) -> None:
        if _numeric(node.host):
            self._known[node] = (node.host,)
            return
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(node.host.encode("ascii"), node.port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            self._trouble[node] = error
            if isinstance(error, ValueError) or error.errno in UNKNOWN:
                self._known.pop(node, None)
            return
        self._trouble.pop(node, None)
        self._known[node] = tuple(sorted({str(entry[4][0]) for entry in found}))
