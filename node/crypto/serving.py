"""A serving certificate for another program of ours: `safe-node serving-certificate`, JSON in, JSON out.

Why it exists: the admission webhook's server needs a certificate that renews itself, and certificates are made in one
place. It runs as a process, since neither side imports the other.
What it refuses to do: touch a file. What comes in and goes out is in pipes; who keeps the authority is the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from node.crypto.certs import Authority, new_authority
from node.errors import Rejected

ROLE = "server"


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """names (a list) and authority (None, or key and certificate) -> authority, key, certificate and not_after.

    All PEM texts; `not_after` in seconds since 1970. Without an authority one is made, to be kept by the caller.
    Raises Rejected; Fatal when the authority's key and certificate are no pair."""
    names, given = asked.get("names"), asked.get("authority")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise Rejected("names is not a list of at least one name")
    if given is None:
        key, certificate = (pem.decode() for pem in new_authority(f"{names[0]} CA"))
        given = {"key": key, "certificate": certificate}
    try:
        authority = Authority(ROLE, given["key"].encode(), given["certificate"].encode())
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Rejected("authority holds no PEM key and certificate") from None
    leaf = authority.issue(names)
    return {
        "authority": dict(given),
        "key": leaf.key_pem.decode(),
        "certificate": leaf.cert_pem.decode(),
        "not_after": int(leaf.not_after.timestamp()),
    }


def filter_text(text: str) -> str:
    """The same on text. Raises Rejected for what is no JSON object; the text is in no message, it may hold a key."""
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise Rejected("standard input is not a JSON object", hint='send for example {"names": ["localhost"]}')
    return json.dumps(answer(asked))
