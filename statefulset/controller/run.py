"""`safe-control run`: webhook and controller in one process.

Why it exists: the wiring. The webhook serves from every replica, the loop works in the one that has the lease.
What it refuses to do: take the webhook down because the loop or the API server has trouble.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping
from typing import Final

from statefulset.cli.connection import Connection
from statefulset.controller.events import EventsDuty
from statefulset.controller.loop import Loop
from statefulset.controller.secrets import SecretsDuty
from statefulset.controller.settings import Settings, SettingsError, load
from statefulset.controller.store import Store
from statefulset.controller.tasks import Tasks
from statefulset.injector.certificate import LOOK, Certificate
from statefulset.injector.patch import Injector
from statefulset.injector.server import WebhookServer
from statefulset.kube.api import Api
from statefulset.kube.objects import AwayError, ForbiddenError, in_cluster

log = logging.getLogger("safe-control")

DONE: Final = 0
REFUSED: Final = 70  # EX_SOFTWARE: a person has to act
STORE_PATIENCE: Final = 10.0
"""Seconds that one question to the store may take, changes of its leader included."""
RETRY: Final = 2.0


def run(environ: Mapping[str, str] = os.environ) -> int:
    """The exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the webhook's key passes through this process
    try:
        settings = load(environ)
        asyncio.run(_serve(settings, environ))
    except (SettingsError, ForbiddenError, OSError) as error:
        log.error("%s", error)
        return REFUSED
    return DONE


async def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    api = Api(in_cluster(settings.account, environ))
    stop, ended = asyncio.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    certificate = Certificate(api, settings.namespace, [settings.service, f"{settings.service}.cluster.local"])
    renewing = asyncio.create_task(_renew(certificate))
    webhook = WebhookServer(Injector(image=settings.image, nodes=settings.nodes), settings.namespace)
    await webhook.start(settings.port, certificate.context)
    log.info("webhook on port %d for %s", webhook.port, settings.service)
    connection = Connection((settings.server,), settings.ca_file, settings.token_file)
    with Store(connection, settings.each_server, STORE_PATIENCE) as store:
        secrets = SecretsDuty(api, store)
        events = EventsDuty(api, store, settings.namespace)
        tasks = Tasks(api, secrets, events, store, certificate, settings.namespace, lambda: _authority(settings))
        loop = Loop(api, settings.name, settings.namespace, tasks, ended)
        worker = asyncio.create_task(asyncio.to_thread(loop.run))
        await asyncio.wait({asyncio.create_task(stop.wait()), worker}, return_when=asyncio.FIRST_COMPLETED)
        ended.set()
        await webhook.stop()
        await worker
    renewing.cancel()


async def _renew(certificate: Certificate) -> None:
    """A leaf at once, then a new one a few times a day and with another authority. The server listens before:
    handshakes fail until there is one, and the readiness probe with them."""
    while True:
        try:
            if await asyncio.to_thread(certificate.keep, time.monotonic()):
                log.info("certificate renewed")
        except (AwayError, ForbiddenError) as error:
            log.warning("certificate: %s", error)
        await asyncio.sleep(LOOK if certificate.authority else RETRY)


def _authority(settings: Settings) -> str:
    """The CA by which sidecars know the nodes; the file is a mounted ConfigMap, read anew each time."""
    try:
        return settings.ca_file.read_text("ascii")
    except (OSError, ValueError) as error:
        raise AwayError(f"{settings.ca_file} cannot be read: {type(error).__name__}") from None
