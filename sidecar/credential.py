"""What a sidecar must know of its own token: whose namespace it speaks for, and when to look for a newer one.

Why it exists: the kubelet rotates a projected token on disk; the stream must hear of it before the old one expires.
What it refuses to do: judge a token. Nothing here is verified; that is the node's business.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.wire.messages import MAX_TOKEN

CHECK_MIN: Final = 5.0
"""Seconds between two looks at the file, at least: a token that the kubelet fails to renew costs a read each time."""
CHECK_MAX: Final = 300.0
"""And at most: also the interval for a token that does not say when it expires."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, the namespace it names ("" if it names none), and when it expires (epoch seconds, None if unsaid)."""

    token: str = field(repr=False)
    namespace: str
    expires: float | None


class CredentialError(Exception):
    """The token file cannot be used; one line that names the file and never its content."""


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1].replace("-", "+").replace("_", "/") + "=" * (-len(parts[1]) % 4)
        claims = json.loads(binascii.a2b_base64(padded))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def parse(token: str) -> Credential:
    """Never fails: what cannot be read is left out, and the node says what is wrong with the token."""
    claims = _claims(token)
    subject, expires = claims.get("sub"), claims.get("exp")
    words = subject.split(":") if isinstance(subject, str) else []
    namespace = words[2] if len(words) == 4 and words[:2] == ["system", "serviceaccount"] else ""
    known = isinstance(expires, int | float) and 0 < expires < 1e12
    return Credential(token, namespace, float(expires) if known and expires else None)


def read(path: str) -> Credential:
    """The credential in a file, anew. Raises CredentialError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TOKEN + 2)
    except OSError as error:
        raise CredentialError(f"token file {path} cannot be read: {error.strerror}") from None
    try:
        token = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise CredentialError(f"token file {path} does not hold a token") from None
    if not token or len(token) > MAX_TOKEN:
        raise CredentialError(f"token file {path} is empty or over {MAX_TOKEN} bytes")
    return parse(token)


def next_look(remaining: float | None) -> float:
    """Seconds until the file is read again.

    Half of what remains, so that the looks get closer as the end does: the kubelet replaces a token at 80 % of its
    life, and the look after that comes with at least a tenth of it left.
    """
    if remaining is None:
        return CHECK_MAX
    return min(max(remaining / 2, CHECK_MIN), CHECK_MAX)
