"""The handler for how far a version has come: this node's pods, each with the reason why it is not done.

Why it exists: a roll-out is asked for again and again while it goes on, over all pods of a node, so it is put together
in slices and read from the local copy, and no write waits for it.
What it refuses to do: ask other nodes. `members` says whom to ask for the rest; a pod that was seen by several is where
it is connected.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from aiohttp import web

from node.admin import bodies, context
from node.admin.services import Services
from node.admin.values import there

Item = TypeVar("Item")
SLICE: Final = 256
"""Pods looked at, or encoded, in one turn of the loop: a millisecond or two."""


async def array(items: Sequence[Item], view: Callable[[Item], Mapping[str, object]]) -> str:
    """A JSON array, put together in slices: ten thousand pods in one go would hold up the loop."""
    parts: list[str] = []
    for first in range(0, len(items), SLICE):
        parts += [json.dumps(view(one)) for one in items[first : first + SLICE]]
        await asyncio.sleep(0)
    return f"[{', '.join(parts)}]"


class Rollout:
    """Every refusal is raised (node.errors) and answered by the middleware."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def status(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        bodies.query(request)
        services = self._services
        record = there(services.store.get(name), name)
        context.current().version = record.version
        raft = services.raft.status()
        standings = [one async for one in services.sidecars.rollout(record)]
        head = {
            "name": name,
            "version": record.version,
            "index": raft.applied,
            "node": services.settings.name,
            "stale": not raft.quorum,
            "members": [*raft.voters, *raft.learners],
            "current": sum(1 for one in standings if one.counts and not one.reason),
            "total": sum(1 for one in standings if one.counts),
        }
        pods = await array(standings, lambda one: one.view())
        body = f'{json.dumps(head)[:-1]}, "pods": {pods}}}'
        return web.Response(text=body, content_type="application/json")
