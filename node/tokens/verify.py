"""From a bearer token to an identity, offline.

Why it exists: both doors of a node (delivery and admin) ask the same question with different audiences, and each way a
token can be wrong has its own answer. What it refuses to do: take an algorithm, a key or an address from the token
itself, say anything about a token's content before its signature is verified, or put the token into a message.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import hashlib
import json
import re
from typing import Final, NoReturn

import jwt

from node.clock import Clock
from node.errors import Fatal, Rejected
from node.tokens.jwks import MAX_KID, Key
from node.tokens.keys import KeySet

ALGORITHMS: Final = ("RS256", "ES256")
MAX_TOKEN: Final = 16 << 10
"""Bytes of a token. Projected ones have 1 to 2 KiB."""
LEEWAY: Final = 10.0
"""Seconds by which the issuer's clock and ours may differ."""
MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999. Beyond, and for NaN, a comparison would not mean what it says."""

REMEMBERED: Final = 4096
"""Tokens whose verification is remembered, by their SHA-256: a client that writes in a loop, and each sidecar, sends
the same one again and again, and checking an RSA signature costs more than all the rest of a request."""

LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*")
SUBJECT: Final = re.compile(rf"system:serviceaccount:({LABEL}):([a-z0-9.-]{{1,253}})")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who a token speaks for. `pod`: None if the token is not bound to one. `expires`: seconds since the epoch.
    `subject`: as the issuer wrote it, system:serviceaccount:<namespace>:<serviceaccount>."""

    namespace: str
    serviceaccount: str
    pod: str | None
    expires: float
    subject: str


class Verifier:
    """Verifies tokens of one issuer for one audience. Raises Fatal if either is empty."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, clock: Clock) -> None:
        if not issuer or not audience:
            raise Fatal("a verifier needs an issuer and an audience")
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._jws = jwt.PyJWS(algorithms=ALGORITHMS)
        self._verified: collections.OrderedDict[bytes, tuple[str, Key, Identity, float]] = collections.OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for. Checked in this order: form, key, signature, issuer, audience, times, subject.

        Raises Rejected with a token_* code, or Retry unavailable while the issuer's keys are not known."""
        known = await self.remembered(token)
        if known is not None:
            return known
        identity, kid, key = await self._verify(token)
        self._verified[_digest(token)] = (kid, key, identity, self._clock.wall_ms() / 1000)
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        return identity

    async def remembered(self, token: str) -> Identity | None:
        """Who this very token was verified for here before, if that still holds; None says nothing about it."""
        known = self._verified.get(_digest(token))
        return known[2] if known is not None and await self._still_stands(*known) else None

    async def _still_stands(self, kid: str, key: Key, identity: Identity, verified: float) -> bool:
        """What was verified once holds until the token expires or its key is withdrawn (or the clock is set back);
        then it is checked anew, which says why it does not."""
        if not verified <= self._clock.wall_ms() / 1000 < identity.expires:
            return False
        found = await self._keys.get(kid)
        # The same object until the keys are fetched anew: comparing two keys costs more than all the rest here.
        return found is key or found == key

    async def _verify(self, token: str) -> tuple[Identity, str, Key]:
        algorithm, kid = self._header(token)
        key = await self._keys.get(kid)
        if key is None:
            raise Rejected(
                "the token is signed with a key that its issuer does not publish",
                code="token_key_unknown",
                hint="get a new token; if the issuer has just rotated its keys, try again in ten seconds",
            )
        claims = self._claims(self._payload(token, algorithm, key))
        self._check_issuer(claims)
        self._check_audience(claims)
        expires = self._check_times(claims)
        return _identity(claims, expires), kid, key

    def _header(self, token: str) -> tuple[str, str]:
        """(algorithm, key id) as the token claims them. Every other header is refused or of no effect."""
        if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:
            _malformed(f"the token is not a signed JWT of at most {MAX_TOKEN} bytes")
        try:
            header = self._jws.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            header = None
        if header is None:  # raised out here: the decoder's exception holds what it choked on
            _malformed("the header of the token cannot be read")
        typ = header.get("typ", "JWT")
        if not isinstance(typ, str) or typ.upper() != "JWT":
            _malformed("the token is of another type than JWT")
        if not header.keys().isdisjoint({"crit", "b64", "cty", "enc"}):
            _malformed("the token is nested, encrypted or asks for extensions")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str):
            _malformed("the token names no algorithm")
        if algorithm not in ALGORITHMS:
            _signature(f"the token is not signed with {' or '.join(ALGORITHMS)}")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
            _malformed("the token does not name the key it is signed with")
        return algorithm, kid

    def _payload(self, token: str, algorithm: str, key: Key) -> bytes:
        """The signed bytes. The algorithm is the key's: what the token says may only agree with it."""
        if algorithm != key.algorithm:
            _signature("the token names another algorithm than its key is for")
        try:
            payload = self._jws.decode_complete(token, key.public, algorithms=[key.algorithm])["payload"]
        except (jwt.PyJWTError, ValueError, RecursionError):
            payload = None
        if not isinstance(payload, bytes):
            _signature("the signature of the token is not right")
        return payload

    def _claims(self, payload: bytes) -> dict[str, object]:
        try:
            claims = json.loads(payload)
        except (ValueError, RecursionError):
            claims = None
        if not isinstance(claims, dict):
            _malformed("the content of the token is not a JSON object")
        return claims

    def _check_issuer(self, claims: dict[str, object]) -> None:
        if claims.get("iss") != self._issuer:
            raise Rejected(
                f"the token is of another issuer than {self._issuer}",
                code="token_issuer",
                hint="SAFE_ISSUER of the nodes must be the issuer of the cluster's service-account tokens",
            )

    def _check_audience(self, claims: dict[str, object]) -> None:
        audience = claims.get("aud")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise Rejected(
                f"the token is not for the audience {self._audience}",
                code="token_audience",
                hint=f"project a service-account token with audience: {self._audience}",
            )

    def _check_times(self, claims: dict[str, object]) -> float:
        """When the token expires, in seconds since the epoch."""
        expires, begins, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is None:
            _malformed("the token has no time of expiry")
        now = self._clock.wall_ms() / 1000
        if now >= expires + LEEWAY:
            raise Rejected(
                f"the token expired {now - expires:.0f} s ago",
                code="token_expired",
                hint="get a new token; if it is new, compare the clocks of the nodes with the issuer's",
            )
        early = max(begins or 0.0, issued or 0.0) - now
        if early > LEEWAY:
            raise Rejected(
                f"the token is not valid before {early:.0f} s from now",
                code="token_not_yet_valid",
                hint="wait, or compare the clocks of the nodes with the issuer's",
            )
        return expires


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _seconds(claims: dict[str, object], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2), or None if the claim is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TIME:
        _malformed(f"the claim {name} of the token is not a time")
    return float(value)


def _identity(claims: dict[str, object], expires: float) -> Identity:
    """The service account the token is of. Raises Rejected token_subject unless everything said of it agrees."""
    subject = claims.get("sub")
    match = SUBJECT.fullmatch(subject) if isinstance(subject, str) else None
    if not isinstance(subject, str) or match is None or not DOMAIN.fullmatch(match[2]):
        _subject("the token is not of a service account")
    namespace, serviceaccount = match[1], match[2]
    bound = claims.get("kubernetes.io", {})
    if not isinstance(bound, dict):
        _subject("the claim kubernetes.io of the token is not an object")
    if "kubernetes.io" in claims and (bound.get("namespace"), _name(bound, "serviceaccount")) != (
        namespace,
        serviceaccount,
    ):
        _subject("the claims sub and kubernetes.io of the token name different service accounts")
    pod = _name(bound, "pod")
    if pod is not None and not DOMAIN.fullmatch(pod):
        _subject("the claim kubernetes.io of the token does not name its pod rightly")
    return Identity(namespace, serviceaccount, pod, expires, subject)


def _name(bound: dict[str, object], kind: str) -> str | None:
    """Name of the object of this kind the token is bound to; None if there is none, "" if it is not readable."""
    if kind not in bound:
        return None
    reference = bound[kind]
    name = reference.get("name") if isinstance(reference, dict) else None
    return name if isinstance(name, str) else ""


def _malformed(message: str) -> NoReturn:
    raise Rejected(
        message, code="token_malformed", hint="send a projected service-account token exactly as its file has it"
    )


def _signature(message: str) -> NoReturn:
    raise Rejected(message, code="token_signature", hint="get a new token from the cluster this store belongs to")


def _subject(message: str) -> NoReturn:
    raise Rejected(
        message, code="token_subject", hint="use a projected token of a service account, not of a user or a node"
    )


def issuer_of(token: str) -> str | None:
    """What an unverified token says of its issuer, None if it says nothing: to choose how it is to be verified, and for
    nothing else."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None
