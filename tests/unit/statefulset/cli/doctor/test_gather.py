"""`safe doctor` as a process: through an API server in memory to a real store and a real TLS webhook, from SAFE_SERVER,
and with nothing in reach."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from statefulset import manifests
from statefulset.cli.doctor.gather import _shaken, path_of

from ...farside.apiserver import ApiServer, _parsed
from ...farside.cluster import Cluster
from .. import conftest as stores

server, tls, make_server, make_safe, nowhere = (
    stores.server,
    stores.tls,
    stores.make_server,
    stores.make_safe,
    stores.nowhere,
)
NODE = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/component": "node"}
CONTROL = {**NODE, "app.kubernetes.io/component": "control"}
EVERYTHING = [
    {
        "kind": "ClusterRole",
        "metadata": {"name": "all"},
        "rules": [
            {"apiGroups": [g], "resources": ["*"], "verbs": ["*"]}
            for g in (
                "",
                "apps",
                "policy",
                "networking.k8s.io",
                "rbac.authorization.k8s.io",
                "apiextensions.k8s.io",
                "admissionregistration.k8s.io",
                "authorization.k8s.io",
                "raftsafe.io",
            )
        ],
    },
    {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "all"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "ops", "name": "admin"}],
        "roleRef": {"kind": "ClusterRole", "name": "all"},
    },
]


class Webhook:
    """Shakes hands with a certificate and nothing more."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("safe-control.raftsafe.svc").configure_cert(self.context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self.context.wrap_socket(raw, server_side=True) as shaken:
                shaken.recv(1)

    def bundle(self) -> str:
        return base64.b64encode(self.ca.cert_pem.bytes()).decode()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def placed(cluster: Cluster, document: dict[str, Any]) -> None:
    group, namespace, plural, name, _ = _parsed(path_of(document))
    state = document.pop("status", None)
    cluster.put(group, plural, document)
    if state is not None:
        cluster.patch((group, plural, namespace, name), {"status": state}, "status")


@pytest.fixture
def api(tmp_path: Path, tls: Any, make_server: Any) -> Iterator[ApiServer]:
    """A whole installation: every object of the base, one node, two replicas of the webhook."""
    documents = manifests.load()
    cluster = Cluster(EVERYTHING + [each for each in documents if "Role" in each["kind"]])
    running, hook = ApiServer(tmp_path, cluster), Webhook()
    running.tokens["good-token"] = "ops/admin"
    store = make_server()
    store.node.raft.voters = ("safe-0",)
    running.store = store
    for document in documents:
        if document["kind"] == "Deployment":
            document["status"] = {"readyReplicas": 2}
        if document["kind"] == "MutatingWebhookConfiguration":
            document["webhooks"][0]["clientConfig"]["caBundle"] = hook.bundle()
        if document["kind"] == "StatefulSet":
            document["spec"]["replicas"] = 1
            spec = document["spec"]["template"]["spec"]
        placed(cluster, document)
    meta = {"namespace": "raftsafe", "labels": NODE}
    published = {"ca.crt": tls.ca.cert_pem.bytes().decode()}
    placed(
        cluster,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "raftsafe-identity"}, "data": published},
    )
    placed(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "name": "safe-0"}, "spec": spec})
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**meta, "name": "data-safe-0"}}
    placed(cluster, {**claim, "status": {"phase": "Bound"}})
    running.ports["raftsafe/safe-0", 8500] = int(store.url.rpartition(":")[2])
    for name in ("safe-control-a", "safe-control-b"):
        placed(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "name": name, "labels": CONTROL}})
        running.ports[f"raftsafe/{name}", 9443] = hook.port
    yield running
    running.stop()
    hook.stop()


@pytest.fixture
def doctor(api: ApiServer, make_safe: Any) -> Any:
    """`safe doctor --json` with a kubeconfig -> exit code, check -> its findings."""

    def run(*args: str, user: dict[str, Any] | None = None) -> tuple[int, dict[str, list[dict[str, str]]], str]:
        safe = make_safe()
        path = api.kubeconfig("k", user or {"token": "good-token"})
        safe.env = {"PATH": safe.env["PATH"], "KUBECONFIG": str(path), **safe.alone}
        done = safe(*args, "doctor", "--json")
        checks: dict[str, list[dict[str, str]]] = {}
        for each in json.loads(done.out)["checks"] if done.out else ():
            checks.setdefault(each["check"], []).append(each)
        return done.code, checks, done.error

    return run


def test_a_whole_installation_is_well(doctor: Any) -> None:
    code, checks, error = doctor()
    ill = [each for every in checks.values() for each in every if each["level"] != "ok"]
    assert not ill, ill
    assert (code, error) == (0, "")
    assert "2 replicas are ready, caBundle fits" in checks["webhook"][0]["what"]
    assert "you may see the store" in checks["access"][0]["what"]


def test_each_illness_is_found(doctor: Any, api: ApiServer) -> None:
    other = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    hook = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "raftsafe")
    whole = api.cluster.get(hook)
    whole["webhooks"][0]["clientConfig"]["caBundle"] = other
    api.cluster.replace(hook, whole)
    api.cluster.delete(("", "services", "raftsafe", "safe-delivery"))
    api.cluster.patch(("", "persistentvolumeclaims", "raftsafe", "data-safe-0"), {"status": {"phase": "Pending"}}, "s")
    condition = {"type": "Ready", "status": "False", "reason": "BadSeal"}
    declared = {"apiVersion": "raftsafe.io/v1alpha1", "kind": "SafeSecret"}
    placed(
        api.cluster,
        {**declared, "metadata": {"namespace": "shop", "name": "db"}, "status": {"conditions": [condition]}},
    )
    api.store.node.sidecars.add("web-1", {}, error="no_space")
    api.store.node.clock.wall_ms = lambda: 4_000_000_000_000
    code, checks, _ = doctor()
    assert code == 1
    bad = {name: every[0] for name, every in checks.items() if every[0]["level"] in ("FAIL", "warn")}
    assert set(bad) == {"webhook", "install", "storage", "safesecrets", "sidecars", "clocks"}
    assert "certificate" in bad["webhook"]["what"] or "signature" in bad["webhook"]["what"]
    assert "safe-delivery" in bad["install"]["what"]


def test_no_quorum_and_no_review(doctor: Any, api: ApiServer) -> None:
    api.store.node.raft.quorum = api.store.node.raft.ready = False
    code, checks, _ = doctor()
    assert code == 1 and checks["quorum"][0]["level"] == "FAIL"
    api.ports.clear()
    api.cluster.rights = [each for each in api.cluster.rights or () if each["metadata"]["name"] != "raftsafe-review"]
    code, checks, _ = doctor()
    assert code == 1 and checks["rights"][0]["level"] == "FAIL", checks["rights"]
    assert "does not take the connection" in checks["quorum"][0]["what"]


def test_before_it_is_installed(doctor: Any, api: ApiServer) -> None:
    api.cluster._objects.clear()
    code, checks, _ = doctor()
    assert code == 1
    assert checks["install"][0]["level"] == "FAIL" and "safe install" in checks["install"][0]["remedy"]


def test_a_client_certificate_sees_the_installation_and_is_told_about_the_rest(doctor: Any, api: ApiServer) -> None:
    code, checks, _ = doctor(user=api.certificate("ops/admin"))
    assert code == 0
    assert checks["quorum"][0]["level"] == "skipped" and "--as-serviceaccount" in checks["quorum"][0]["remedy"]
    assert checks["install"][0]["level"] == checks["webhook"][0]["level"] == "ok"


def test_who_may_nothing_is_told_so_and_nothing_is_called_well(doctor: Any, api: ApiServer) -> None:
    api.cluster.rights = []
    code, checks, _ = doctor()
    assert "ok" not in {each["level"] for every in checks.values() for each in every} and code in (0, 1)
    assert checks["access"][0]["level"] == "warn"


def test_nobody_in_reach(doctor: Any, api: ApiServer) -> None:
    api.away = True
    code, checks, error = doctor()
    assert code == 3 and not checks and "503" in error


def test_without_a_cluster(server: Any, make_safe: Any, nowhere: str) -> None:
    done = make_safe(server.url)("doctor")
    assert done.code == 0, done.error + done.text
    first, *lines = done.text.splitlines()
    assert first.startswith(("ok", "skipped", "warn")) and server.url in first
    assert any(line.split()[:2] == ["ok", "quorum"] for line in lines)
    assert any("skipped" in line and "kubeconfig" in line for line in lines)
    done = make_safe(nowhere)("doctor")
    assert done.code == 3 and "no node answers" in done.error


@pytest.mark.parametrize(("broken", "why"), [(1, ""), (2, "no TLS connection (ConnectionResetError)")])
def test_one_connection_that_breaks_on_the_way_is_not_held_against_the_webhook(broken, why):
    hook = Webhook()
    way = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for _ in range(broken):
            raw, _ = way.accept()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()  # with a reset
        if not why:
            raw, _ = way.accept()
            with contextlib.suppress(OSError), hook.context.wrap_socket(raw, server_side=True) as shaken:
                shaken.recv(1)

    thread = threading.Thread(target=run)
    thread.start()
    context = ssl.create_default_context(cadata=hook.ca.cert_pem.bytes().decode())
    assert _shaken(context, way.getsockname()[1], "safe-control.raftsafe.svc") == why
    thread.join()
    way.close()
    hook.stop()
