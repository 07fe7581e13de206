"""The socket inside the pod: who gets in, what he may do, and what is written down."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector

from node.admin import local
from node.admin.server import AdminServer
from node.errors import Fatal
from node.settings import Address


@pytest.fixture
async def path(node, tls, tmp_path):
    server, path = AdminServer(node.services), tmp_path / "admin" / "admin.sock"
    await server.start(Address("127.0.0.1", 0), tls.server, path)
    yield path
    await server.stop()


@pytest.fixture
async def session(path):
    async with ClientSession("http://localhost", connector=UnixConnector(str(path))) as session:
        yield session


async def test_who_runs_as_us_needs_no_token_and_is_written_down(session, node, audited):
    body = {"fields": {"value": "eA=="}, "grants": ["a/x"]}
    async with session.put("/v1/secrets/a/b", json=body) as answer:
        assert answer.status == 200
    assert node.value("a/b") == {"value": b"x"} and node.gate.asked == []
    (line,) = audited
    assert line["subject"] == f"socket:safe-0:uid:{os.geteuid()}" and line["result"] == "ok"
    assert line["peer"] == f"socket: pid {os.getpid()}"


async def test_reading_a_value_through_it_is_written_down(session, node, audited):
    async with session.put("/v1/secrets/a/b", json={"fields": {"value": "eA=="}}):
        pass
    async with session.get("/v1/secrets/a/b/value") as answer:
        assert (await answer.json())["fields"] == {"value": "eA=="}
    assert audited[-1]["event"] == "admin.secret.value"


async def test_it_outlives_an_api_server_that_is_away(session, node):
    node.gate.broken = RuntimeError("must not be asked")
    async with session.get("/v1/status") as answer:
        assert answer.status == 200


async def test_another_user_is_refused(session, node, audited, monkeypatch):
    monkeypatch.setattr(local.os, "geteuid", lambda: 12345)
    monkeypatch.setattr(local.Peer, "trusted", property(lambda self: self.uid == 12345))
    async with session.put("/v1/secrets/a/b", json={"fields": {"value": "eA=="}}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")
    assert len(node.store) == 0 and audited[0]["result"] == "forbidden"


@pytest.mark.parametrize(("uid", "good"), [(0, True), (1000, True), (1001, False), (65534, False)])
def test_who_is_trusted(monkeypatch, uid, good):
    monkeypatch.setattr(local.os, "geteuid", lambda: 1000)
    assert local.Peer(7, uid).trusted == good


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_the_kernel_keeps_others_out(path):
    """A process of another user, really: the folder does not let it through, and were it open, the mode would not."""
    code = f"import os,socket; os.setuid(65534); socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode and "PermissionError" in done.stderr


async def test_a_token_over_the_network_does_not_pass_for_the_socket(api):
    assert (await api.call("GET", "/v1/status", token=None)).code == "unauthenticated"


async def test_folder_and_socket_are_ours_alone(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_restarted_node_takes_its_place(node, tls, tmp_path):
    path = tmp_path / "admin" / "admin.sock"
    first = AdminServer(node.services)
    await first.start(Address("127.0.0.1", 0), tls.server, path)
    inode = path.stat().st_ino
    second = AdminServer(node.services)  # as after a crash, which removes nothing
    await second.start(Address("127.0.0.1", 0), tls.server, path)
    assert path.stat().st_ino != inode
    async with (
        ClientSession("http://localhost", connector=UnixConnector(str(path))) as session,
        session.get("/livez") as answer,
    ):
        assert answer.status == 200
    await second.stop()
    await first.stop()


def test_places_that_are_not_ours_alone_are_refused(tmp_path: Path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "good").mkdir(mode=0o700)
    (tmp_path / "good" / "file").write_text(json.dumps("mine"))
    for path in ("open/a", "link/a", "missing/deeper/a", "good/file"):
        with pytest.raises(Fatal) as caught:
            local.prepare(tmp_path / path)
        assert "SAFE_ADMIN_SOCKET" in caught.value.message and caught.value.__cause__ is None
    assert (tmp_path / "good" / "file").read_text() == '"mine"'
    local.prepare(tmp_path / "good" / "a")
