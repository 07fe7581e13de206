"""GET /v1/explain: which rule lets a workload have a secret, or keeps it from it.

Why it exists: whoever wonders why a pod does not get a secret must not have to guess. What it refuses to do: tell of
secrets the asker may not look at: one secret needs the right to get it, a list the right to list them.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from aiohttp import web

from node.admin import auth, bodies, context
from node.admin.rights import Need
from node.admin.secrets import Secrets
from node.errors import Rejected
from sidecar.wire import names

MOST: Final = 1000
"""Secrets in one answer."""


class Explain(Secrets):
    """Every refusal is raised (node.errors) and answered by the middleware."""

    async def explain(self, request: web.Request) -> web.Response:
        namespace, account = request.match_info["namespace"], request.match_info["serviceaccount"]
        query = bodies.query(request, "secret", "namespace", "limit", "consistency")
        limit = bodies.query_integer(query, "limit", 1, MOST) or 100
        secret, within = query.get("secret", ""), query.get("namespace", "")
        if not names.is_secret(f"{namespace}/{account}"):  # service accounts are named as secrets are
            raise Rejected("the path does not hold a namespace/serviceaccount", hint="write for example payments/api")
        if (
            (secret and not names.is_secret(secret))
            or (within and not names.is_namespace(within))
            or (secret and within)
        ):
            raise Rejected(
                "secret is namespace/name, or namespace one namespace", hint="name one of the two, or neither"
            )
        if secret:
            context.current().name = secret
            await auth.require(self._services, Need("get"), secret)
        else:
            await auth.require(self._services, Need("list", scope="namespace"), namespace=within)
            self._limits.charge(limit // 10)
        headers = await self._consistent(query)
        explainer = self._services.explainer
        found, total = (
            ([explainer.one(namespace, account, secret)], 1)
            if secret
            else explainer.granted(namespace, account, within, limit)
        )
        verdicts = [dataclasses.asdict(verdict) for verdict in found]
        answer = {"workload": f"{namespace}/{account}", "verdicts": verdicts, "total": total}
        return web.json_response(answer, headers=headers)
