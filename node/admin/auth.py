"""Who may use the admin API: a bearer token whose subject is one of the node's configured admins.

Why it exists: this is the admins' door and takes the admins' credential only (its own audience), so a workload's
token opens nothing here. What it refuses to do: keep or log a token, or let anybody in when no admin is configured.
"""

from __future__ import annotations

from aiohttp import web

from node.admin import context
from node.admin.services import Services
from node.errors import Rejected


def _bearer(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", [])
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Rejected(
            "there is no bearer token in this request",
            code="unauthenticated",
            hint="send the header Authorization: Bearer <token>, a token made for the audience raftsafe-admin",
        )
    return token


async def authorise(request: web.Request, services: Services) -> None:
    """Notes the subject for the audit line.

    Raises Rejected unauthenticated or token_* (401), forbidden (403); Retry if the issuer's keys cannot be had."""
    identity = await services.verifier.verify(_bearer(request))
    context.current().subject = identity.subject
    if identity.subject not in services.settings.admins:
        raise Rejected(
            f"{identity.subject} is not an admin of this store",
            code="forbidden",
            hint="an operator adds the subject to SAFE_ADMINS of the nodes",
        )
