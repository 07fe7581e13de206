"""The admin API on a real socket with TLS, over a real store and keyring, for schemathesis to call."""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import requests

from node.admin import pulse

ROOT = Path(__file__).parents[2]
NAMES = ("pay/db", "pay/gone", "web/tls")


def _load(name: str, folder: str) -> ModuleType:
    """The conftest of a folder, as a package, for it imports the modules beside it."""
    package = ModuleType(name)
    package.__path__ = [str(ROOT / folder)]
    sys.modules[name] = package
    return importlib.import_module(f"{name}.conftest")


cli = _load("cli_standin", "tests/unit/statefulset/cli")


class Served:
    """A running server: `url`, and what a client needs for it."""

    def __init__(self, url: str, ca: str, node: Any) -> None:
        self.url = url
        self.ca = ca
        self.node = node
        self.session = requests.Session()
        self.headers = {"Authorization": f"Bearer {cli.admin.TOKEN}"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, self.url + path, json=body, headers=self.headers, verify=self.context())
        assert answer.is_success, answer.text
        return answer.json()

    def context(self) -> Any:
        import ssl

        return ssl.create_default_context(cafile=self.ca)

    def fill(self) -> None:
        """Secrets with a history, one of them deleted, so that calls meet something."""
        for name in NAMES:
            for number in range(3):
                body = {"fields": {"value": base64.b64encode(b"v%d" % number).decode()}, "grants": ["pay/api"]}
                self.call("PUT", f"/v1/secrets/{name}", body)
        self.call("DELETE", "/v1/secrets/pay/gone")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    tls = cli.admin.Tls()
    # The server shares this process with the search for cases, which keeps its loop waiting.
    pulse.HELD_UP = 3600.0  # type: ignore[misc]
    server = cli.Server(tls).start()
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    tls.ca.cert_pem.write_to_path(str(ca))
    served = Served(server.url, str(ca), server.node)
    served.fill()
    yield served
    server.stop()
