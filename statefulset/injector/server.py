"""The webhook's HTTPS server: one POST, two probes.

Why it exists: the shell around admission.review. It holds no state, so any number of replicas will do.
What it refuses to do: read more than an API server sends, log what is in a pod, or answer anything but reviews.
"""

from __future__ import annotations

import json
import logging
import ssl
from typing import Final

from aiohttp import web

from statefulset.injector.admission import review
from statefulset.injector.patch import Injector

MAX_BODY: Final = 4 << 20
"""An API server takes objects up to 3 MiB; the review has a little more around it."""

log = logging.getLogger("safe-control.webhook")


def application(injector: Injector, namespace: str) -> web.Application:
    """POST /mutate, GET /livez, GET /readyz."""

    async def mutate(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
            if not isinstance(body, dict):
                raise ValueError("not a JSON object")
            answer = review(body, injector, namespace)
        except (ValueError, RecursionError) as error:
            return web.json_response({"message": f"no review: {type(error).__name__}"}, status=400)
        response = answer["response"]
        if "patch" in response or not response["allowed"]:
            asked = body["request"]
            what = (asked["object"].get("metadata") or {}).get("generateName") or asked.get("name") or "?"
            outcome = "injected" if response["allowed"] else f"denied: {response['status']['message']}"
            log.info("pod %s in %s %s", what, asked.get("namespace"), outcome)
        return web.json_response(answer)

    async def well(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/mutate", mutate)
    app.router.add_get("/livez", well)
    app.router.add_get("/readyz", well)
    return app


class WebhookServer:
    """Start once, stop once; `port` is the bound one."""

    def __init__(self, injector: Injector, namespace: str) -> None:
        self._runner = web.AppRunner(
            application(injector, namespace), access_log=None, shutdown_timeout=5.0, keepalive_timeout=30.0
        )
        self.port = 0

    async def start(self, port: int, context: ssl.SSLContext) -> None:
        """On all addresses. Raises OSError."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, None, port, ssl_context=context, backlog=128)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()
