"""One HTTPS server of the same library as the admin door whose handler answers at once: the floor of the row `put`.

Why it exists: what the library and TLS cost is not ours to cut; here is what is left of a PUT when all of ours is gone.
What it refuses to do: anything with the request but read its body.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from workers import control

from node.crypto import certs

ANSWER = b'{"name": "bench/floor", "version": 1, "index": 1}'


async def put(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    authority = certs.Authority.load(Path(options["identity"]), "server")
    app = web.Application()
    app.router.add_route("PUT", "/v1/secrets/{namespace}/{name}", put)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = certs.server_context(authority.issue(("localhost", "127.0.0.1")))
    await web.TCPSite(runner, "127.0.0.1", options["port"], ssl_context=context).start()
    gc.collect()
    gc.freeze()  # as node.app does

    async def handle(asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"ready": asked["do"] == "state"}

    await control.serve(handle)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
