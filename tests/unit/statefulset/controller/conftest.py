"""The control process as it runs in a pod: real process, real TLS, an API server in memory that enforces our own RBAC."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from statefulset import manifests
from statefulset.cli.connection import Connection
from statefulset.controller.store import Store

from ..cli import conftest as stores
from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster

PATIENCE = 60.0


def wait(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:g} s: {what}")


server, tls = stores.server, stores.tls
"""Fixtures: a store's admin API on HTTPS."""


class Control:
    """One replica of safe-control."""

    def __init__(self, folder: Path, api: ApiServer, store: stores.Server, certificates: Any, name: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.name = name
        _, env = api.found
        certificates.ca.cert_pem.write_to_path(str(folder / "ca.crt"))
        (folder / "token").write_text("good-token")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        variables = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **env,
            "SAFE_NAME": name,
            "SAFE_NAMESPACE": "raftsafe",
            "SAFE_SIDECAR_IMAGE": "localhost/raftsafe/sidecar:0.1.0",
            "SAFE_SERVER": store.url,
            "SAFE_SERVER_TEMPLATE": store.url,
            "SAFE_CA_FILE": str(folder / "ca.crt"),
            "SAFE_TOKEN_FILE": str(folder / "token"),
            "SAFE_WEBHOOK_PORT": str(self.port),
            "SAFE_WEBHOOK_SERVICE": "localhost",
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "statefulset", "run"]
            self.process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        self.env = variables

    @property
    def said(self) -> str:
        return self.log.read_text()

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)


@pytest.fixture
def store(tmp_path: Path, server: Any, tls: Any) -> Iterator[Store]:
    """As the controller has it."""
    tls.ca.cert_pem.write_to_path(str(tmp_path / "store.crt"))
    (tmp_path / "store.token").write_text("good-token")
    connection = Connection((server.url,), tmp_path / "store.crt", tmp_path / "store.token")
    with Store(connection, server.url, 5.0) as found:
        yield found


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[ApiServer]:
    """An API server with the RBAC of the base and what an installation has made."""
    documents = manifests.load()
    running = ApiServer(folder, Cluster([each for each in documents if "Role" in each["kind"]]))
    for document in documents:
        if document["kind"] == "MutatingWebhookConfiguration":
            running.cluster.put("admissionregistration.k8s.io", "mutatingwebhookconfigurations", document)
        if document["kind"] == "StatefulSet":
            running.cluster.put("apps", "statefulsets", document)
    running.found = running.account("raftsafe/safe-control")
    yield running
    running.stop()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    with installed(tmp_path) as running:
        yield running


@pytest.fixture
def control(tmp_path: Path, api: ApiServer, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Control]]:
    """Starts a replica by name; all are ended."""
    started: list[Control] = []
    store, certificates = request.getfixturevalue("server"), request.getfixturevalue("tls")

    def start(name: str = "safe-control-a") -> Control:
        started.append(Control(tmp_path / f"replica-{len(started)}", api, store, certificates, name))
        return started[-1]

    yield start
    for each in started:
        each.stop(signal.SIGKILL)


@dataclasses.dataclass
class Working:
    """An installation with one replica at work."""

    api: ApiServer
    server: stores.Server
    replica: Control


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory, tls: Any) -> Iterator[Working]:
    """One for all tests that look at names of their own and leave it as they found it: a start takes seconds."""
    folder = tmp_path_factory.mktemp("working")
    server = stores.Server(tls).start()
    server.node.raft.size = 3
    with installed(folder) as api:
        replica = Control(folder / "replica", api, server, tls, "safe-control-a")
        yield Working(api, server, replica)
        replica.stop(signal.SIGKILL)
    server.stop()
