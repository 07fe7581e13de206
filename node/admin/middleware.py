"""What happens around every handler: request id, limits, deadline, admission, the error's answer, the audit line.

Why it exists: no handler can forget one of these. What it refuses to do: log the message of an exception it does not
know, or let one travel on to a server that would print it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from node.admin import auth, problem
from node.admin.audit import Audit
from node.admin.context import Context, current, deadline_passed, enter
from node.admin.deadlines import Deadlines
from node.admin.limits import Limits
from node.admin.services import Services
from node.errors import Fatal, SafeError

log = logging.getLogger("node.admin")

PROBES = frozenset({"probe.live", "probe.ready"})
READS = frozenset({"GET", "HEAD"})
"""Methods that change nothing: they are in the audit log only when refused, or monitoring would bury the changes."""
REVEALS = frozenset({"secret.value"})
"""Reads that show a value: in the audit log like a change."""
REASON = 200
"""Characters of a refusal that its audit line repeats."""
COST = {"cluster.sidecars": 100, "secret.rollout": 100, "cluster.status": 10, "cluster.metrics": 10}
"""Tokens (node.admin.rates) of what takes longer: it walks over all sidecars of this node, or counts them. A list and
an explanation cost by their length, an apply by its secrets."""
OPEN = PROBES | {"api.document", "seal.key"}
"""Actions without a token: probes cannot have one, and the document describes only what is public in the source."""


def middleware(services: Services, limits: Limits) -> Middleware:
    """The one middleware of the application."""
    audit = Audit(services.settings.name, clock := services.clock)
    deadlines = Deadlines(services.deadline)

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock.now()
        context = Context(
            request_id=clock.token(8).hex(),
            action=request.match_info.route.name or "unknown",
            remote=request.remote or "",
            deadline=started + services.deadline,
            clock=clock,
        )
        enter(context)
        response, result = await _answer(request, handler, services, limits, deadlines)
        response.headers["X-Request-Id"] = context.request_id
        response.headers["Cache-Control"] = "no-store"
        if limits.draining:
            # The client is told that this connection ends, so that its next request goes elsewhere instead of into
            # a connection that is being closed.
            response.force_close()
        seen = request.method in READS and context.action not in REVEALS
        if context.action not in PROBES and (not seen or response.status >= 400):
            took = int((clock.now() - started) * 1000)
            audit.write(context, took, response.status, result)
        return response

    return around


async def _answer(
    request: web.Request, handler: Handler, services: Services, limits: Limits, deadlines: Deadlines
) -> tuple[web.StreamResponse, str]:
    """The response and the word for the audit line: "ok" or the stable code."""
    context = current()
    try:
        return await _admitted(request, handler, services, limits, deadlines), "ok"
    except SafeError as known:
        error = known
    except web.HTTPException as refused:
        error = problem.from_http(refused)
    except TimeoutError:
        error = deadline_passed()
    except Exception as unknown:
        error = SafeError(_where(unknown))
    if problem.status_of(error) == 500:
        # Our own words are made of names and codes (node.errors) and may be printed.
        text = error.message if isinstance(error, Fatal) or type(error) is SafeError else type(error).__name__
        log.error("request %s (%s) failed: %s", context.request_id, context.action, text)
    else:
        context.reason = error.message[:REASON]
    response = problem.answer(error, context.request_id)
    return response, "internal" if response.status == 500 else error.code


def _where(error: Exception) -> str:
    """Type and place of an exception, without its message, which may quote what it choked on."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}"


async def _admitted(
    request: web.Request, handler: Handler, services: Services, limits: Limits, deadlines: Deadlines
) -> web.StreamResponse:
    action = current().action
    if action in PROBES:  # a busy node is not a dead one
        return await handler(request)
    limits.enter(change=request.method not in READS)
    try:
        async with asyncio.timeout(None) as scope:
            deadlines.watch(scope)
            try:
                if action not in OPEN:
                    await auth.identify(request, services)
                # Before the rights: a refusal costs no less, and writes an audit line.
                limits.charge(COST.get(action, 1))
                if action not in OPEN:
                    await auth.authorise(request, services)
                return await handler(request)
            finally:
                deadlines.leave(scope)
    finally:
        limits.leave()
