"""Serves the application over HTTPS, with limits on what arrives before any handler runs.

Why it exists: aiohttp's defaults log what they cannot parse, with the bytes in question; here only the kind of error is
logged. What it refuses to do: listen on a network without TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

from aiohttp import web

from node.admin import local
from node.admin.app import create_app
from node.admin.limits import Limits
from node.admin.pulse import BEAT, Pulse
from node.admin.rates import Rates
from node.admin.services import Services
from node.settings import Address

KEEPALIVE = 30.0
"""Seconds an idle connection may stay: a CLI is gone in one, a script that loops keeps its connection."""
MAX_LINE = 4096
"""Bytes of the request line: the longest path and query have about 1500."""
MAX_HEADER = 20 << 10
"""Bytes of one header: a token may have 16 KiB."""
SHUTDOWN = 5.0
"""Seconds that requests in flight get at a planned stop: the deadline of each."""

GOODBYE = 0.5
GOODBYE_STEP = 0.02
"""Seconds that clients which keep a connection open get to ask once more and be told that it closes."""


class Quiet(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp has to say, without the exceptions' messages, which quote the request."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        kind = type(error).__name__ if isinstance(error, BaseException) else "see the lines above"
        self.logger.log(min(level, logging.WARNING), "a connection to the admin API ended early: %s", kind)


class AdminServer:
    """Start once, stop once. `port` is the bound one, for a listen address with port 0."""

    def __init__(self, services: Services) -> None:
        self._pulse = Pulse(services.clock)
        self._limits = Limits(self._pulse, Rates(services.clock, services.settings.admin_rate))
        self._beating: asyncio.Task[None] | None = None
        self._runner = web.AppRunner(
            create_app(services, self._limits),
            access_log=None,
            logger=Quiet(logging.getLogger("node.admin.http"), None),
            keepalive_timeout=KEEPALIVE,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            auto_decompress=False,
            lingering_time=2.0,
            shutdown_timeout=SHUTDOWN,
        )
        self.port = 0

    async def start(self, listen: Address, context: ssl.SSLContext, path: Path | None = None) -> None:
        """Listens; the context decides certificate and TLS version (1.3 only). `path`: of the socket inside the pod, if
        there is to be one. Raises OSError; Fatal if the socket would not be ours alone."""
        self._pulse.beat()
        self._beating = asyncio.get_running_loop().create_task(self._beat())
        await self._runner.setup()
        site = web.TCPSite(self._runner, listen.host, listen.port, ssl_context=context, backlog=256)
        await site.start()
        self.port = self._runner.addresses[0][1]
        if path is not None:
            local.prepare(path)
            await web.UnixSite(self._runner, path, backlog=16).start()
            path.chmod(local.MODE)

    async def _beat(self) -> None:
        while True:
            self._pulse.beat()
            await asyncio.sleep(BEAT)

    async def stop(self) -> None:
        """No new connections; each that is open gets one more answer, which says that it is the last; requests in
        flight are finished, at most SHUTDOWN seconds long."""
        self._limits.draining = True
        for site in list(self._runner.sites):
            await site.stop()
        server = self._runner.server
        for _ in range(round(GOODBYE / GOODBYE_STEP)):
            if server is None or not server.connections:
                break
            await asyncio.sleep(GOODBYE_STEP)
        await self._runner.cleanup()
        if self._beating is not None:
            self._beating.cancel()
