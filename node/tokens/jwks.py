"""What an issuer publishes, as keys: bytes of the two documents in, checked values out.

Why it exists: the decision which published keys may verify anything is pure and separate from fetching them.
What it refuses to do: build a key that is not RSA (RS256) or P-256 (ES256), guess a key's purpose against what the
issuer says of it, or put what it read into an error.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Final, Literal
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]

MAX_KEYS: Final = 128
"""Keys in one set. A cluster has one or two, three while it rotates; building a key costs time on the event loop."""
MAX_KID: Final = 256
"""Characters of a key id. Kubernetes uses 43 (a SHA-256 digest in base64url)."""
MAX_URL: Final = 2048
"""Characters of jwks_uri; longer ones are refused by most servers anyway."""
RSA_BITS: Final = range(2048, 8192 + 1)
"""Below, RFC 7518 forbids it; above, one verification takes long enough to be a way to slow a node down."""


class Unusable(Exception):
    """What the issuer sent cannot be used. The message says which part, and never quotes it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A public key and the one algorithm it verifies."""

    kid: str
    algorithm: Algorithm
    public: RSAPublicKey | EllipticCurvePublicKey


def _object(data: bytes, what: str) -> dict[str, object]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unusable(f"{what} is not a JSON object")
    return value


def keys_url(data: bytes, issuer: str) -> str:
    """jwks_uri of a discovery document (OpenID Connect Discovery 1.0, section 3).

    Raises Unusable unless the document is `issuer`'s own and the address is https, with a host and no user."""
    document = _object(data, "the discovery document")
    if document.get("issuer") != issuer:
        raise Unusable("the discovery document names another issuer than SAFE_ISSUER")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or len(url) > MAX_URL or not is_https(url):
        raise Unusable("jwks_uri of the discovery document is not an https address")
    return url


def is_https(url: str) -> bool:
    """Whether `url` is https, with a host, and carries neither user nor fragment."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and bool(host) and "@" not in parts.netloc and not parts.fragment


def origin(url: str) -> tuple[str, int]:
    """(host, port) of an https address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443


def parse_keys(data: bytes) -> dict[str, Key]:
    """The usable keys of a JWK set (RFC 7517), by key id. Keys for other purposes are passed over.

    Raises Unusable if the set is malformed, too large, or holds no usable key: an issuer that publishes none would
    shut out everybody, and is more likely broken than right."""
    entries = _object(data, "the key set").get("keys")
    if not isinstance(entries, list):
        raise Unusable("the key set has no list of keys")
    if len(entries) > MAX_KEYS:
        raise Unusable(f"the key set has more than {MAX_KEYS} keys")
    out: dict[str, Key] = {}
    twice: set[str] = set()
    for entry in entries:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is None:
            continue
        if key.kid in out:
            twice.add(key.kid)
        out[key.kid] = key
    for kid in twice:  # which of the two was meant is not ours to say
        del out[kid]
    if not out:
        raise Unusable("the key set has no RSA or P-256 key for verifying signatures, with a key id of its own")
    return out


def _key(entry: dict[str, object]) -> Key | None:
    """The key, or None if it is not one for us."""
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        return None
    if entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    match entry.get("kty"), entry.get("alg"):
        case "RSA", None | "RS256":
            rsa = _rsa(entry)
            return Key(kid, "RS256", rsa) if rsa else None
        case "EC", None | "ES256":
            p256 = _p256(entry)
            return Key(kid, "ES256", p256) if p256 else None
    return None


def _rsa(entry: dict[str, object]) -> RSAPublicKey | None:
    """Only n and e are handed on: a private part that somebody published by mistake is never built."""
    try:
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": entry["n"], "e": entry["e"]})
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size in RSA_BITS else None


def _p256(entry: dict[str, object]) -> EllipticCurvePublicKey | None:
    if entry.get("crv") != "P-256":
        return None
    try:
        key = ECAlgorithm.from_jwk({"kty": "EC", "crv": "P-256", "x": entry["x"], "y": entry["y"]})
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) else None
