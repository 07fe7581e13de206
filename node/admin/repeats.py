"""Idempotency-Key: the id under which the store applies a request once, and the refusal of a key that is used twice.

Why it exists: a client that did not get its answer sends the same request again and must neither change anything twice
nor be told that something was done which was not (draft-ietf-httpapi-idempotency-key-header).
What it refuses to do: answer a request with what became of another one. The whole request is in its id, so a second one
under the same key is at worst a change of its own; on the node that has seen the first it is refused (422).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from aiohttp import web

from node.errors import Rejected
from node.store.commands import RID_SIZE

KEYS: Final = 16_384
"""Keys remembered, the oldest forgotten first: 4 MB, and some seconds of the fastest writers. It is for a mistake in a
client, which comes soon after the first use."""


class Repeats:
    """Of one node. `secret`: 32 bytes, the same on every node, so that a repeat has the same id on each of them, and
    nobody without it can test a guess of a short value on the ids in a log. Use from one event loop."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: dict[bytes, bytes] = {}

    def id(self, request: web.Request, subject: str, body: bytes, fresh: bytes, part: str = "") -> bytes:
        """16 bytes: from the key, subject, method, path, query and body; without a key from `fresh`. `part` tells apart
        the changes of one request. Raises Rejected: invalid; key_reused when this node has seen the key of this subject
        on this route with another request."""
        given = request.headers.getall("Idempotency-Key", [])
        if not given:
            return fresh if not part else hashlib.sha256(fresh + part.encode()).digest()[:RID_SIZE]
        key = given[0]
        if len(given) > 1 or not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
            raise Rejected(
                "Idempotency-Key is not 1 to 255 printable ASCII characters",
                hint="make a random one, for example 32 hex digits, and send it again with each retry",
            )
        used = self._mac("\0".join((subject, request.method, request.path, key)).encode())
        whole = self._mac(used, request.rel_url.raw_query_string.encode(), b"\0", body)
        if not hmac.compare_digest(self._seen.setdefault(used, whole), whole):
            raise Rejected(
                "this Idempotency-Key was used for another request",
                code="key_reused",
                hint="nothing was changed; make a new key for each change, and send it again only with the very same "
                "request",
            )
        if len(self._seen) > KEYS:
            del self._seen[next(iter(self._seen))]
        return self._mac(whole, part.encode())[:RID_SIZE]

    def _mac(self, *data: bytes) -> bytes:
        mac = hmac.new(self._secret, digestmod=hashlib.sha256)
        for one in data:
            mac.update(one)
        return mac.digest()
