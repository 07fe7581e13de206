"""One place where an error becomes an answer: stable code -> HTTP status -> application/problem+json (RFC 9457).

Why it exists: whoever reads the answer must know whose fault it was and what to do next, also with curl at night.
What it refuses to do: repeat the message of an exception it does not know; such a message may quote what it choked on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from node.errors import Rejected, Retry, SafeError

STATUS: Final[Mapping[str, int]] = {
    "invalid": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_granted": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_yet_valid": 409,
    "conflict": 409,
    "deleted": 410,
    "expired": 410,
    "too_large": 413,
    "key_reused": 422,
    "too_many_requests": 429,
    "no_quorum": 503,
    "unavailable": 503,
    "sealed": 503,
    "internal": 500,
}
TITLES: Final[Mapping[str, str]] = {
    "invalid": "The request is not right",
    "unauthenticated": "The token was not accepted",
    "forbidden": "Not allowed",
    "not_granted": "Not granted",
    "not_found": "No such thing",
    "method_not_allowed": "No such method here",
    "not_yet_valid": "Not valid yet",
    "conflict": "Conflict with what is stored",
    "deleted": "The secret is deleted",
    "expired": "The secret has expired",
    "too_large": "Too large",
    "key_reused": "An Idempotency-Key is for one request",
    "too_many_requests": "Too many requests",
    "no_quorum": "No quorum",
    "unavailable": "Not available now",
    "sealed": "The store is sealed",
    "internal": "Internal error",
}
HINTS: Final[Mapping[str, str]] = {
    "invalid": "see /v1/openapi.json, or `safe COMMAND --help`",
    "unauthenticated": "send the header Authorization: Bearer <token>, a token made for the audience raftsafe-admin",
    "forbidden": "ask somebody who may bind a role in this namespace; `kubectl auth can-i` says what you may",
    "not_granted": "`safe explain NAMESPACE/SERVICEACCOUNT SECRET` says why",
    "not_found": "check the name",
    "method_not_allowed": "see /v1/openapi.json for the methods of each route",
    "not_yet_valid": "wait, or change its window of validity",
    "conflict": "read it again and decide anew",
    "deleted": "undelete it first, or put a new value",
    "expired": "change its window of validity, or put a new value",
    "too_large": "use several secrets, or keep larger data elsewhere, encrypted with a key from here",
    "key_reused": "make a new key for each change",
    "too_many_requests": "wait as long as Retry-After says, and ask less often",
    "no_quorum": "wait for a majority of the nodes; `safe status` asks each of them",
    "unavailable": "try again in a moment, or ask another node",
    "sealed": "look into the node's log for the key that is missing",
}
"""What to do when the refusal itself does not say it."""
OPTIONS: Final[Mapping[str, str]] = {
    "expires_ms": "--expires, in a file expires",
    "not_before_ms": "--not-before, in a file not-before",
    "if_version": "--if-version",
    "keep_window": "--keep-window",
}
"""How `safe` calls what the messages call by the keys of the JSON."""
CONTENT_TYPE: Final = "application/problem+json"


def status_of(error: SafeError) -> int:
    """HTTP status of an error. Codes of tokens are all 401; a Rejected with a code not listed is still the caller's
    fault (400), a Retry still 503, anything else 500."""
    if error.code.startswith("token_"):
        return 401
    if isinstance(error, Rejected):
        return STATUS.get(error.code, 400)
    if isinstance(error, Retry):
        return STATUS.get(error.code, 503)
    return 500


class WrongMethod(Rejected):
    """`allow`: the methods that the route has, as the header Allow lists them (RFC 9110, 15.5.6)."""

    code = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        hint = f"it has {allow}; see /v1/openapi.json"
        super().__init__("the method does not exist on this route", code=self.code, hint=hint)
        self.allow = allow


def hint_of(error: SafeError) -> str:
    """Never empty, and of use to both who sends JSON and who types options of `safe`."""
    hint = error.hint or HINTS.get(
        error.code, HINTS["unauthenticated" if error.code.startswith("token_") else "invalid"]
    )
    options = [words for key, words in OPTIONS.items() if key in error.message or key in hint]
    return f"{hint} (with `safe`: {'; '.join(options)})" if options else hint


def answer(error: SafeError, request_id: str) -> web.Response:
    """The problem document. Fatal and anything unexpected show the code `internal` and the request id only."""
    status = status_of(error)
    internal = status == 500
    code = "internal" if internal else error.code
    body = {
        "type": f"urn:raftsafe:problem:{code}",
        "title": TITLES.get(code, TITLES["unauthenticated"] if status == 401 else TITLES["invalid"]),
        "status": status,
        "detail": "the node failed to answer this request" if internal else error.message,
        "code": code,
        "hint": f"look for request {request_id} in the node's log" if internal else hint_of(error),
        "request_id": request_id,
    }
    headers = {}
    if isinstance(error, WrongMethod):
        headers["Allow"] = error.allow
    if isinstance(error, Retry):
        headers["Retry-After"] = str(max(1, math.ceil(error.after)))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="raftsafe-admin"'
    return web.Response(status=status, body=json.dumps(body).encode(), content_type=CONTENT_TYPE, headers=headers)


def from_http(error: web.HTTPException) -> SafeError:
    """What aiohttp itself refuses (no such route, wrong method) in our words. Never quotes the path."""
    if error.status == 404:
        return Rejected("there is no such route", code="not_found", hint="see /v1/openapi.json for the routes")
    if error.status == 405:
        return WrongMethod(error.headers.get("Allow", ""))
    if error.status == 413:
        return Rejected("the request is too large", code="too_large", hint=HINTS["too_large"])
    if error.status < 500:
        return Rejected("the request is not right", hint="see /v1/openapi.json")
    return SafeError(type(error).__name__)


def from_result(code: str, message: str, hint: str) -> SafeError:
    """The error a refused command stands for: the packed result of the store, as the exception it would have been."""
    if STATUS.get(code) in (429, 503):
        return Retry(message, code=code, hint=hint)
    return Rejected(message, code=code, hint=hint)
