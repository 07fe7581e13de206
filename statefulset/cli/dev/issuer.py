"""The token issuer of a development cluster: what the cluster's API server is to real pods.

Why it exists: the nodes run the very code that checks projected service-account tokens in a cluster, against a real
HTTPS server with OpenID discovery and a key set (OpenID Connect Discovery 1.0; RFC 7517), so nothing is switched off
for development. What it refuses to do: hand out a token over the network. Tokens are made in this process only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import jwt
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from statefulset.cli.dev.apiserver import ACCESS, AUDIENCE, NODE, TOKENS, ApiServer
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.ports import HOST
from statefulset.cli.dev.tokens import write

ALGORITHM: Final = "RS256"
"""What the API server of a cluster signs with by default."""
BACKDATED: Final = 5
"""Seconds that `iat` and `nbf` lie in the past."""
PATIENCE: Final = 5.0
"""Seconds a client may take for its handshake and request."""
NODE_TOKEN: Final = "node-token"  # noqa: S105
"""File beside the CA: the nodes' own token, for their questions to the API server."""
NODE_TOKEN_LIFE: Final = 365 * 86400.0
"""Seconds. It opens nothing but the review endpoints of this process."""
ADMIN: Final = ("raftsafe", "admin")
"""Namespace and service account of the admin, who has every role there is."""
PEOPLE: Final = ("viewer", "editor", "revealer", "operator")
"""Service accounts beside the admin, each with the ready-made role of its name, everywhere."""
MAX_REVIEW: Final = 64 << 10
"""Bytes of a question."""


class SigningKey:
    """An RSA key and the id that stands in the tokens' header."""

    def __init__(self, key_id: str = "") -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.id = key_id or base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def public(self) -> dict[str, Any]:
        """As an entry of a JWKS."""
        entry = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**entry, "kid": self.id, "use": "sig", "alg": ALGORITHM}


class Issuer:
    """Start once, stop once. `url` is the issuer's name and address; `ca_file` the certificate that proves it."""

    def __init__(self, folder: Path, port: int, now: Callable[[], float] = time.time) -> None:
        self.url = f"https://{HOST}:{port}"
        self.ca_file = folder / "ca.crt"
        self.key = SigningKey()
        self._folder = folder
        self._port = port
        self._now = now
        self.api = ApiServer(self.read)
        for role in self.api.roles:
            self.api.bind(role, f"system:serviceaccount:{ADMIN[0]}:{ADMIN[1]}")
        for name in PEOPLE:
            self.api.bind(f"raftsafe-{name}", f"system:serviceaccount:{ADMIN[0]}:{name}")
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises DevError if the port is taken."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        authority = trustme.CA(organization_name="raftsafe dev issuer")
        authority.cert_pem.write_to_path(str(self.ca_file))
        leaf = authority.issue_cert(HOST, "localhost")
        pem = self._folder / "server.pem"
        pem.touch(0o600)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(pem)
        try:
            self._server = _Server((HOST, self._port), _documents(self.url, self.key), self.api, context)
        except OSError as error:
            raise DevError(
                f"the token issuer cannot listen on port {self._port}: {error.strerror}", code="port"
            ) from None
        token = self.token(*NODE, audience=AUDIENCE, lifetime=NODE_TOKEN_LIFE)
        write(self._folder / NODE_TOKEN, token)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="issuer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = self._thread = None

    def token(
        self,
        namespace: str,
        serviceaccount: str,
        *,
        audience: str,
        pod: str = "",
        lifetime: float = 600,
        key: SigningKey | None = None,
    ) -> str:
        """A token as the kubelet would project it. `lifetime` in seconds; negative for one that has expired."""
        now = int(self._now())
        bound: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": serviceaccount, "uid": _uid(self.url, namespace, serviceaccount)},
        }
        if pod:
            bound["pod"] = {"name": pod, "uid": self.pod_uid(namespace, serviceaccount, pod)}
        claims = {
            "iss": self.url,
            "aud": [audience],
            "sub": f"system:serviceaccount:{namespace}:{serviceaccount}",
            "iat": now - BACKDATED - max(0, -int(lifetime)),
            "nbf": now - BACKDATED - max(0, -int(lifetime)),
            "exp": now + int(lifetime),
            "kubernetes.io": bound,
        }
        signer = key or self.key
        return jwt.encode(claims, signer.private, algorithm=ALGORITHM, headers={"kid": signer.id})

    def read(self, token: str) -> dict[str, Any] | None:
        """The content of a token of ours that has not expired, else None."""
        try:
            claims = jwt.decode(
                token,
                self.key.private.public_key(),
                algorithms=[ALGORITHM],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        return claims if claims["nbf"] <= self._now() < claims["exp"] else None

    def pod_uid(self, namespace: str, serviceaccount: str, pod: str) -> str:
        """What tokens of this pod are bound to."""
        return _uid(self.url, namespace, serviceaccount, pod)


def _uid(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(words)))


def _documents(url: str, key: SigningKey) -> dict[str, bytes]:
    discovery = {
        "issuer": url,
        "jwks_uri": f"{url}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
    return {
        "/.well-known/openid-configuration": json.dumps(discovery).encode(),
        "/openid/v1/jwks": json.dumps({"keys": [key.public()]}).encode(),
    }


class _Server(ThreadingHTTPServer):
    """A thread a connection; each with a deadline, so that none of them outlives a client that says nothing."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], documents: dict[str, bytes], api: ApiServer, context: ssl.SSLContext
    ) -> None:
        self.documents = documents
        self.api = api
        super().__init__(address, _Handler)
        # The handshake belongs to the connection's own thread: nobody may keep the others from being accepted.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that broke off is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """One segment an answer: two would wait for the client's delayed acknowledgement, 40 ms each time."""

    def do_GET(self) -> None:
        body = b"" if self.server.api.switches.away else self.server.documents.get(self.path, b"")
        self._answer(200 if body else 404, body)

    def do_POST(self) -> None:
        """A review."""
        size = self.headers.get("Content-Length", "")
        if self.path not in (TOKENS, ACCESS) or not size.isdigit() or int(size) > MAX_REVIEW:
            self.close_connection = True
            return self._answer(404, b"{}")
        try:
            body = json.loads(self.rfile.read(int(size)))
        except ValueError:
            return self._answer(400, b"{}")
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, answer = self.server.api.answer(self.path, bearer, body)
        if status:
            self._answer(status, json.dumps(answer).encode())
        else:
            self.close_connection = True

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""
