"""A small API server in memory: HTTPS, a token, Secrets and ConfigMaps; it creates as the real one does, once a name.

It answers with the documents of the real API (kind Status for a refusal) and can be told to fail.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

TOKEN = "token-of-the-pod"
NAMESPACE = "raftsafe"


class Api:
    """`objects`: (plural, name) -> document. `asked`: method and path of each request. `failing`: status codes for the
    next requests, first one first. `barrier`: holds every POST until that many have come."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.failing: list[int] = []
        self.barrier: threading.Barrier | None = None
        self.lock = threading.Lock()
        authority = trustme.CA()
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "token").write_text(TOKEN)
        authority.cert_pem.write_to_path(str(self.account / "ca.crt"))
        pem = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def env(self) -> dict[str, str]:
        """What the kubelet puts into a container, and where the account is."""
        port = self._server.server_address[1]
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(port),
            "SAFE_ACCOUNT_DIR": str(self.account),
            "SAFE_NAMESPACE": NAMESPACE,
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        self.asked.append((method, path))
        if self.failing:
            return _status(self.failing.pop(0))
        if token.lower() != f"bearer {TOKEN}":  # RFC 9110: the scheme is case-insensitive; the client writes it small
            return _status(401)
        parts = path.strip("/").split("/")
        if parts[:4] != ["api", "v1", "namespaces", NAMESPACE] or parts[4] not in ("secrets", "configmaps"):
            return _status(403)
        if method == "GET" and len(parts) == 6:
            with self.lock:
                found = self.objects.get((parts[4], parts[5]))
            return (200, found) if found else _status(404)
        if method == "POST" and len(parts) == 5:
            if self.barrier is not None:
                self.barrier.wait(30)
            document = json.loads(body)
            key = (parts[4], document["metadata"]["name"])
            with self.lock:
                if key in self.objects:
                    return _status(409)
                self.objects[key] = document
            return 201, document
        return _status(405)


def _status(code: int) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, document = api.answer(self.command, self.path, self.headers.get("Authorization") or "", body)
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    running = Api(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a real tmpfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="raftsafe-test-") as path:
        yield Path(path)
