"""A real issuer: HTTPS on loopback with a certificate of its own CA, keys that rotate, answers a test can bend."""

from __future__ import annotations

import base64
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from node.tokens.keys import KeySet
from node.tokens.verify import Verifier

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"
NOW = 1_800_000_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SteeredClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = NOW * 1000

    def now(self) -> float:
        return self.monotonic

    def wall_ms(self) -> int:
        return self.wall

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def token(self, size: int) -> bytes:
        return bytes(size)


@dataclasses.dataclass(frozen=True)
class Signer:
    """A private key under a key id."""

    kid: str
    algorithm: str
    private: Any

    def jwk(self, **more: object) -> dict[str, object]:
        to_jwk = RSAAlgorithm.to_jwk if self.algorithm == "RS256" else ECAlgorithm.to_jwk
        out = {**to_jwk(self.private.public_key(), as_dict=True), "kid": self.kid, "alg": self.algorithm, "use": "sig"}
        out.pop("key_ops", None)
        return {**out, **more}

    def sign(self, claims: object, **headers: object) -> str:
        """A token, with the header as Kubernetes writes it (no typ) unless `headers` say otherwise."""
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return self.sign_raw({"alg": self.algorithm, "kid": self.kid, **headers}, payload)

    def sign_raw(self, header: object, payload: bytes) -> str:
        """Any header over a right signature; PyJWT would not write most of the wrong ones."""
        signing = b64(json.dumps(header).encode()) + "." + b64(payload)
        algorithm = jwt.PyJWS().get_algorithm_by_name(self.algorithm)
        return signing + "." + b64(algorithm.sign(signing.encode(), self.private))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """`published`: the entries of the key set. `override`: path -> another handler. `asked`: (path, Authorization) of
    each request so far."""

    def __init__(self, ca: trustme.CA, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.published: list[dict[str, object]] = []
        self.override: dict[str, Handler] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""
        self._ca = ca
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def fetches(self) -> int:
        return sum(path == JWKS for path, _ in self.asked)

    async def up(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("127.0.0.1").configure_cert(context)
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"https://127.0.0.1:{self._port}"

    async def down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Authorization")))
        if request.path in self.override:
            return await self.override[request.path](request)
        if request.path == DISCOVERY:
            return web.json_response({"issuer": self.url, "jwks_uri": self.url + JWKS})
        if request.path == JWKS:
            return web.json_response({"keys": self.published})
        return web.Response(status=404)

    def bend(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Another answer on this path."""

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=headers)

        self.override[path] = answer

    def claims(self, **more: object) -> dict[str, object]:
        """As of a projected token of the pod shop/web-0. A value of None leaves the claim out."""
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": ["raftsafe"],
            "exp": NOW + 600,
            "iat": NOW,
            "nbf": NOW,
            "sub": "system:serviceaccount:shop:web",
            "kubernetes.io": {
                "namespace": "shop",
                "serviceaccount": {"name": "web", "uid": "u1"},
                "pod": {"name": "web-0", "uid": "u2"},
            },
        }
        claims.update(more)
        return {name: value for name, value in claims.items() if value is not None}


@pytest.fixture(scope="session")
def rsa_signer() -> Signer:
    return Signer("rsa-1", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def other_rsa() -> Signer:
    """Another key under the same key id."""
    return Signer("rsa-1", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048))


@pytest.fixture(scope="session")
def ec_signer() -> Signer:
    return Signer("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("issuer") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, path


@pytest.fixture
def clock() -> SteeredClock:
    return SteeredClock()


@pytest.fixture
async def issuer(authority: tuple[trustme.CA, Path], rsa_signer: Signer, ec_signer: Signer) -> AsyncIterator[Issuer]:
    server = Issuer(*authority)
    server.published = [rsa_signer.jwk(), ec_signer.jwk()]
    await server.up()
    yield server
    await server.down()


@pytest.fixture
async def keys(issuer: Issuer, clock: SteeredClock) -> AsyncIterator[KeySet]:
    """Not started: it fetches when it is asked, so that a test knows when."""
    key_set = KeySet(issuer.url, issuer.ca_file, clock)
    yield key_set
    await key_set.stop()


@pytest.fixture
def verifier(keys: KeySet, issuer: Issuer, clock: SteeredClock) -> Iterator[Verifier]:
    yield Verifier(keys, issuer.url, "raftsafe", clock)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not decide a test; the one about the timeout sets its own."""
    monkeypatch.setattr("node.tokens.keys.TIMEOUT", 60.0)
