"""Who may use the admin API, and for what: a bearer token and the rights that the route's action needs, or the socket.

Why it exists: this is the admins' door and takes the admins' credential only, so a workload's token opens nothing here;
rights are asked for in one place, from one table (rights.py). What it refuses to do: keep or log a token, let a route
be used that has no entry in the table, or guess a right that cannot be asked for now.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from node.admin import context
from node.admin.local import peer_of
from node.admin.rights import CLUSTERS, NEEDS, Need, Right, rights
from node.admin.services import Services
from node.errors import Rejected
from node.tokens.person import Person
from sidecar.wire import names


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


async def identify(request: web.Request, services: Services) -> None:
    """Notes who it is, for the audit line, the rate and `authorise`.

    Raises Rejected unauthenticated or token_* (401), forbidden (403); Retry if it cannot be known now."""
    at = context.current()
    if (peer := peer_of(request)) is not None:
        at.remote = f"socket: pid {peer.pid}"
        at.subject = f"socket:{services.settings.name}:uid:{peer.uid}"
        if not peer.trusted:
            raise Rejected("the socket is for this node's own user and root", code="forbidden", hint="use a token")
        return
    at.person = await services.gate.who(_bearer(request))
    at.subject = at.person.name


async def authorise(request: web.Request, services: Services) -> None:
    """Asks for every right in the table, after `identify`. Raises Rejected forbidden (403), invalid; Retry."""
    at = context.current()
    assert at.subject is not None
    person = at.person
    if person is None:
        return  # through the socket: he could read the root key, see local.py
    if request.match_info.http_exception is not None:
        return  # no such route, or not this method: the handler says so, to those who have shown who they are
    needs = NEEDS.get(at.action)
    if needs is None:
        raise Rejected("nobody may use this route", code="forbidden", hint="it has no entry in the table of rights")
    secret = context.secret_name(request) if "name" in request.match_info else ""
    asked = rights(needs, secret, _namespace(request))
    for right in asked:
        await _demand(services, person, right, asked)


async def require(services: Services, need: Need, secret: str = "", namespace: str = "") -> None:
    """For handlers whose needs depend on the body: the person of this request must have this right as well, on
    `secret` (namespace/name), or in `namespace`. Raises Rejected forbidden; Retry if it cannot be known now."""
    at = context.current()
    assert at.subject is not None
    person = at.person
    if person is None:
        return  # through the socket: identify has let in nobody else without a person
    for right in rights((need,), secret, namespace):
        await _demand(services, person, right, (right,))


def _namespace(request: web.Request) -> str:
    """The namespace a query is limited to. Twice is none: the handler refuses it, and until then it means all."""
    given = request.query.getall("namespace", [])
    return given[0] if len(given) == 1 and names.is_namespace(given[0]) else ""


async def _demand(services: Services, person: Person, right: Right, asked: tuple[Right, ...]) -> None:
    """`asked`: all that the request needs, so that one role can be named for it."""
    if not await services.gate.may(person, right):
        raise Rejected(f"{person.name} may not {right}", code="forbidden", hint=_hint(right, asked))


ROLES: Final = ("viewer", "editor", "revealer")
"""Of the ClusterRoles about secrets, in this order: of the roles for several needs of one route the last has all."""


def _role(right: Right) -> str:
    looks = "viewer" if right.verb in ("get", "list") else "editor"
    return {"value": "revealer", "grant": "editor"}.get(right.subresource, looks)


def _hint(right: Right, asked: tuple[Right, ...]) -> str:
    """What to do about it: the role that has all that was asked for, and where to bind it."""
    if right.resource == CLUSTERS:
        return "bind the ClusterRole raftsafe-operator (or -viewer, to look) to the user with a ClusterRoleBinding"
    role = max(map(_role, asked), key=ROLES.index)
    if not right.namespace:
        return f"name a namespace, or bind the ClusterRole raftsafe-{role} to the user with a ClusterRoleBinding"
    return f"bind the ClusterRole raftsafe-{role} to the user with a RoleBinding in the namespace {right.namespace}"
