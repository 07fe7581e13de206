"""Handlers about the node itself: status, sidecars, probes, and the description of the API.

Why it exists: readiness is withdrawn when a node cannot serve, and says why in one line.
What it refuses to do: ask other nodes. Each tells of itself; whoever wants the whole picture asks each.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from node import audit
from node.admin import bodies, context
from node.admin.limits import Limits
from node.admin.openapi import DOCUMENT
from node.admin.rollout import array
from node.admin.secrets import STALE
from node.admin.services import RaftStatus, Receipt, Services
from sidecar.wire import messages

REPORTED = tuple(field.name for field in dataclasses.fields(messages.Report))


def _version() -> str:
    try:
        return version("raftsafe")
    except PackageNotFoundError:
        return "unknown"


def receipt_view(receipt: Receipt) -> dict[str, Any]:
    """One sidecar as JSON; `placed` is "ns/name" -> version in its files; `want` the names it asks for,
    empty for all that is granted. What a sidecar is too old to say is None."""
    return {
        "pod": receipt.pod,
        "namespace": receipt.namespace,
        "serviceaccount": receipt.serviceaccount,
        "node": receipt.node,
        "since_ms": receipt.since_ms,
        "index": receipt.index,
        "placed": dict(receipt.placed),
        "want": sorted(receipt.want),
        "error": receipt.error,
        "connected": receipt.connected,
        "stale": receipt.stale,
        "left": receipt.left,
        "at_ms": receipt.at_ms,
        "mode": receipt.mode,
        "agent": receipt.agent,
        **{key: getattr(receipt.report, key, None) for key in REPORTED},
    }


def why_not_ready(status: RaftStatus) -> str:
    """One line; empty when the node is ready."""
    if status.ready:
        return ""
    if not status.disk_ok:
        return "the disk does not take writes in time"
    if status.state == "blank":
        return "this node has an empty disk and is not a member yet; it waits for the others"
    if status.leader is None:
        return "no leader is known"
    if status.applied >= status.commit_index:
        return "there is no data key yet; the first leader of a new cluster makes one"
    return f"catching up with {status.leader}: {status.applied} of {max(status.commit_index, status.applied)} applied"


class Cluster:
    """The handlers; each returns JSON or, for the probes, one line of text."""

    def __init__(self, services: Services, limits: Limits) -> None:
        self._services = services
        self._limits = limits
        self._version = _version()
        self._document = json.dumps(DOCUMENT).encode()

    async def status(self, request: web.Request) -> web.Response:
        bodies.query(request)
        services = self._services
        status = services.raft.status()
        return web.json_response(
            {
                "node": services.settings.name,
                "version": self._version,
                "at_ms": services.clock.wall_ms(),
                "name": status.name,
                "member": status.member,
                "state": status.state,
                "leader": status.leader,
                "term": status.term,
                "commit_index": status.commit_index,
                "applied": status.applied,
                "last_index": status.last_index,
                "voters": list(status.voters),
                "learners": list(status.learners),
                "size": status.size,
                "connected": list(status.connected),
                "quorum": status.quorum,
                "ready": status.ready,
                "disk_ok": status.disk_ok,
                "stale": not status.quorum,
                "secrets": len(services.store),
                "sidecars": sum(1 for receipt in services.sidecars.receipts() if receipt.connected),
            }
        )

    async def resize(self, request: web.Request) -> web.Response:
        """Decided when answered; the leader then brings the members there one by one, which `status` shows."""
        bodies.query(request)
        with await self._limits.body(request) as data:
            size = bodies.members(data)
        here = context.current()
        index = await self._services.raft.resize(size, here.remaining())
        here.index = index
        return web.json_response({"size": size, "index": index})

    async def sidecars(self, request: web.Request) -> web.Response:
        bodies.query(request)
        receipts = list(self._services.sidecars.receipts())
        headers = {STALE: "false" if self._services.raft.status().quorum else "true"}
        text = await array(receipts, receipt_view)
        return web.Response(text=text, content_type="application/json", headers=headers)

    async def sealing_key(self, request: web.Request) -> web.Response:
        """Public by its nature: whoever has it can seal and nothing else."""
        bodies.query(request)
        return web.json_response({"key": base64.b64encode(self._services.sealing.public).decode()})

    async def document(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        from node.admin import metrics  # the library brings servers of its own: only where somebody scrapes

        bodies.query(request)
        text = metrics.Metrics(self._services).text()
        return web.Response(body=text, headers={"Content-Type": metrics.TYPE})

    async def live(self, request: web.Request) -> web.Response:
        """The loop turns: that is all liveness may depend on, else a lost quorum would restart every pod."""
        return web.Response(text="ok\n")

    async def ready(self, request: web.Request) -> web.Response:
        why = why_not_ready(self._services.raft.status())
        # Said, not answered with 503: the collector of all nodes' logs is one, and would take the whole store with it.
        besides = audit.trouble()
        return web.Response(status=503 if why else 200, text="; ".join(filter(None, (why or "ok", besides))) + "\n")
