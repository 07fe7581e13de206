"""`safe` with nothing but a kubeconfig: real process, real kubernetes client, API server in memory that forwards to a
store over WebSockets as a kubelet does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster

NODE = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/component": "node"}


def rights(*rules: tuple[str, str, str]) -> list[dict[str, Any]]:
    """RBAC in namespace raftsafe of ops/admin: (group, resource, verbs)."""
    role = {
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "raftsafe"},
        "rules": [{"apiGroups": [g], "resources": [r], "verbs": v.split()} for g, r, v in rules],
    }
    subject = {"kind": "ServiceAccount", "namespace": "ops", "name": "admin"}
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "r", "namespace": "raftsafe"},
        "subjects": [subject],
        "roleRef": {"kind": "Role", "name": "r"},
    }
    return [role, binding]


NEEDED = (("", "configmaps", "get"), ("", "pods", "list"), ("", "pods/portforward", "get create"))


def pod(name: str, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "raftsafe", "labels": NODE},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.fixture
def api(tmp_path: Path, tls: Any, make_server: Any) -> Iterator[ApiServer]:
    """A cluster with two safe pods, of which the first is not ready and takes no connection."""
    cluster = Cluster(rights(*NEEDED))
    running = ApiServer(tmp_path, cluster)
    running.tokens["good-token"] = "ops/admin"
    running.store = make_server()
    published = {"ca.crt": tls.ca.cert_pem.bytes().decode()}
    cluster.put(
        "", "configmaps", {"metadata": {"name": "raftsafe-identity", "namespace": "raftsafe"}, "data": published}
    )
    for name, ready in (("safe-0", False), ("safe-1", True)):
        document = pod(name, ready)
        cluster.put("", "pods", document)
        cluster.patch(("", "pods", "raftsafe", name), document, "status")
    running.ports["raftsafe/safe-1", 8500] = int(running.store.url.rpartition(":")[2])
    yield running
    running.stop()


@pytest.fixture
def laptop(api: ApiServer, make_safe: Any, tmp_path: Path) -> Any:
    """`safe` with a kubeconfig and no setting of ours."""

    def run(*args: str, user: dict[str, Any] | None = None, stdin: bytes = b"", **env: str) -> Any:
        safe = make_safe()
        path = api.kubeconfig("kubeconfig", user or {"token": "good-token"})
        safe.env = {"PATH": safe.env["PATH"], "KUBECONFIG": str(path), **safe.alone, **env}
        return safe(*args, stdin=stdin)

    return run


def test_a_secret_goes_through_the_api_server_as_the_user(laptop: Any, api: ApiServer) -> None:
    value = bytes(range(32, 127)) * 2000
    done = laptop("put", "payments/db", "--for", "payments/api", stdin=value)
    assert done.code == 0, done.error
    assert api.store.node.store.get("payments/db") is not None
    assert laptop("get", "payments/db", "--reveal").out == value, "190 kB, both ways, byte for byte"
    assert set(api.forwarded) == {("ops/admin", "raftsafe/safe-1")}, "the pod that is ready"


def test_every_pod_is_asked_and_the_one_that_is_away_is_named(laptop: Any) -> None:
    done = laptop("status")
    assert done.code == 0, done.error
    assert "yes" in done.text and "safe-1" not in done.error
    assert "pod safe-0 did not answer: the pod does not take the connection" in done.error


def test_tokens_from_a_file_and_from_a_plugin(laptop: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("good-token")
    assert laptop("list", user={"tokenFile": str(tmp_path / "token")}).code == 0
    plugin = tmp_path / "plugin"
    plugin.write_text(
        '#!/bin/sh\necho \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        '"status": {"token": "good-token"}}\'\n'
    )
    plugin.chmod(0o700)
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    }
    assert laptop("list", user=user).code == 0


def test_a_client_certificate_needs_a_service_account(laptop: Any, api: ApiServer) -> None:
    user = api.certificate("ops/admin")
    done = laptop("list", user=user)
    assert done.code == 2
    assert "somebody" in done.error and "--as-serviceaccount" in done.error and "serviceaccounts/token" in done.error

    denied = laptop("--as-serviceaccount", "ops/robot", "list", user=user)
    assert denied.code == 1 and "serviceaccounts/token of ops/robot" in denied.error

    api.cluster.rights = None
    api.issued["ops/robot"] = "good-token"
    done = laptop("--as-serviceaccount", "ops/robot", "list", user=user)
    assert done.code == 0, done.error
    assert api.requested == [["raftsafe-admin"]], "one token, for the admins' door only"
    assert "acting as the service account ops/robot" in done.error


def test_without_a_right_the_remedy_is_said(laptop: Any, api: ApiServer) -> None:
    api.cluster.rights = rights(*NEEDED[:2])
    done = laptop("list")
    assert done.code == 3 and "status 403" in done.error and "raftsafe-connect" in done.error
    api.cluster.rights = []
    done = laptop("list")
    assert done.code == 1 and "raftsafe-connect" in done.error


def test_another_authority_than_the_published_one_is_not_believed(laptop: Any, api: ApiServer) -> None:
    other = api._authority.cert_pem.bytes().decode()
    api.cluster.patch(("", "configmaps", "raftsafe", "raftsafe-identity"), {"data": {"ca.crt": other}})
    done = laptop("list")
    assert done.code == 3 and "certificate not accepted" in done.error


def test_context_and_namespace(laptop: Any) -> None:
    assert laptop("--context", "test", "list").code == 0
    done = laptop("--context", "nowhere", "list")
    assert done.code == 2 and "nowhere" in done.error
    done = laptop("list", SAFE_NAMESPACE="elsewhere")
    assert done.code == 1 and "elsewhere" in done.error
    done = laptop("-n", "raftsafe", "list", SAFE_SERVER="https://other:8500", SAFE_TOKEN_FILE="/x")
    assert done.code == 2 and "SAFE_SERVER" in done.error, "two stores are meant"


def test_an_api_server_that_is_away(laptop: Any, api: ApiServer) -> None:
    api.away = True
    done = laptop("list")
    assert done.code == 3 and "503" in done.error


def test_a_token_never_shows(laptop: Any, api: ApiServer) -> None:
    api.cluster.rights = []
    for args in (("list",), ("status",), ("--as-serviceaccount", "ops/robot", "list")):
        done = laptop(*args)
        assert b"good-token" not in done.out + done.err
