"""The application: the table of routes, and the one middleware around them.

Why it exists: what the admin API offers is this table, and the OpenAPI document is tested against it.
What it refuses to do: decide anything; see the handlers.
"""

from __future__ import annotations

import dataclasses

from aiohttp import web
from aiohttp.typedefs import Handler

from node.admin.apply import Apply
from node.admin.bodies import MAX_BODY
from node.admin.cluster import Cluster
from node.admin.explain import Explain
from node.admin.limits import Limits
from node.admin.middleware import middleware
from node.admin.rollout import Rollout
from node.admin.services import Services


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """`action` is the word for it in audit lines."""

    method: str
    path: str
    action: str
    handler: Handler


def routes(services: Services, limits: Limits) -> tuple[Route, ...]:
    """Every route there is."""
    secrets, cluster, rollout = Apply(services, limits), Cluster(services, limits), Rollout(services)
    explain = Explain(services, limits)
    one = "/v1/secrets/{namespace}/{name}"
    return (
        Route("PUT", one, "secret.put", secrets.put),
        Route("GET", one, "secret.get", secrets.get),
        Route("PATCH", one, "secret.patch", secrets.patch),
        Route("DELETE", one, "secret.delete", secrets.delete),
        Route("POST", f"{one}/undelete", "secret.undelete", secrets.undelete),
        Route("POST", f"{one}/purge", "secret.purge", secrets.purge),
        Route("POST", f"{one}/rollback", "secret.rollback", secrets.rollback),
        Route("GET", f"{one}/history", "secret.history", secrets.history),
        Route("GET", f"{one}/value", "secret.value", secrets.value),
        Route("GET", f"{one}/rollout", "secret.rollout", rollout.status),
        Route("POST", f"{one}/grants", "secret.grants", secrets.grants),
        Route("POST", "/v1/apply", "secret.apply", secrets.apply),
        Route("GET", "/v1/secrets", "secret.list", secrets.list),
        Route("GET", "/v1/explain/{namespace}/{serviceaccount}", "secret.explain", explain.explain),
        Route("GET", "/v1/status", "cluster.status", cluster.status),
        Route("PUT", "/v1/members", "cluster.resize", cluster.resize),
        Route("GET", "/v1/sidecars", "cluster.sidecars", cluster.sidecars),
        Route("GET", "/v1/sealing-key", "seal.key", cluster.sealing_key),
        Route("GET", "/v1/openapi.json", "api.document", cluster.document),
        Route("GET", "/metrics", "cluster.metrics", cluster.metrics),
        Route("GET", "/livez", "probe.live", cluster.live),
        Route("GET", "/readyz", "probe.ready", cluster.ready),
    )


def create_app(services: Services, limits: Limits | None = None) -> web.Application:
    """The admin API over `services`. Serve it with node.admin.server, which also keeps aiohttp's own log quiet."""
    limits = limits or Limits()
    app = web.Application(middlewares=[middleware(services, limits)], client_max_size=MAX_BODY)
    for route in routes(services, limits):
        app.router.add_route(route.method, route.path, route.handler, name=route.action)
    return app
