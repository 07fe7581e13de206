"""Identity and rights with real processes: three nodes, a sidecar, `safe`, and the stand-in for the API server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from statefulset.cli.dev.harness import DevCluster

EDITOR = "system:serviceaccount:pay:editor"


@pytest.fixture(scope="module")
def editor(cluster: DevCluster) -> dict[str, str]:
    """An account that may edit the secrets of one namespace."""
    token = cluster.issuer.token("pay", "editor", audience="raftsafe-admin")
    file = cluster.home.tokens / "editor"
    file.touch(0o600)
    file.write_text(token, "ascii")
    cluster.issuer.api.bind("raftsafe-editor", EDITOR, "pay")
    return {"SAFE_TOKEN_FILE": str(file)}


def test_a_role_in_a_namespace_is_that_and_no_more(cluster: DevCluster, editor: dict[str, str]) -> None:
    assert cluster.safe("put", "pay/db", "--for", "pay/api", stdin=b"x", env=editor).code == 0
    for arguments, right in (
        (("put", "shop/db"), "create safesecrets.raftsafe.io in namespace shop"),
        (("list",), "list safesecrets.raftsafe.io in all namespaces"),
        (("status",), "get safeclusters.raftsafe.io"),
        (("get", "pay/db", "--reveal"), "get safesecrets/value.raftsafe.io in namespace pay"),
        (("grant", "shop/db", "pay/api"), "update safesecrets/grant.raftsafe.io in namespace shop"),
    ):
        done = cluster.safe(*arguments, stdin=b"x", env=editor)
        assert done.code == 1 and f"{EDITOR} may not {right} (forbidden)" in done.err, done.err
        assert "hint: " in done.err and "raftsafe-" in done.err


def test_the_socket_needs_no_token_and_is_written_down(cluster: DevCluster) -> None:
    path = cluster.sockets()[0]
    env = {"SAFE_SERVER": "", "SAFE_TOKEN_FILE": "", "SAFE_CA_FILE": "", "SAFE_ADMIN_SOCKET": str(path)}
    cluster.issuer.api.switches.away = True
    try:
        done = cluster.safe("put", "pay/emergency", stdin=b"x", env=env)
    finally:
        cluster.issuer.api.switches.away = False
    assert done.code == 0, done.err
    log = (cluster.home.logs / f"{cluster.names[0]}.log").read_text()
    (line,) = [json.loads(line) for line in log.splitlines() if '"pay/emergency"' in line]
    assert re.fullmatch(r"socket:safe-0:uid:\d+", line["subject"]) and line["event"] == "admin.secret.put"


def test_a_deleted_pods_stream_ends_and_its_files_stay(cluster: DevCluster, until: Callable[..., bool]) -> None:
    web = cluster.workloads["web"]
    assert cluster.safe("put", "demo/kept", "--for", "demo/web", stdin=b"kept").code == 0
    placed = Path(web.mount, "kept")
    assert until(lambda: placed.exists() and placed.read_bytes() == b"kept")
    cluster.issuer.api.delete_pod(cluster.issuer.pod_uid("demo", "web", "web"))
    log = cluster.home.logs / f"{web.process}.log"
    assert until(lambda: "(token_revoked)" in log.read_text())
    assert placed.read_bytes() == b"kept"
    once = cluster.init_sidecar(
        "late", web.token_file.read_text(), cluster.home.mount("late"), want=("demo/kept",), deadline=3.0
    )
    assert once.code == 1 and "(token_revoked)" in once.err
