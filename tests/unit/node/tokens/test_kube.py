"""The real kubernetes client against the stand-in API server of `safe dev`, over HTTPS."""

from __future__ import annotations

import logging
import random
import time

import pytest

from node.tokens import kube as module
from node.tokens.kube import Access, Away, Kube
from node.tokens.person import Person
from statefulset.cli.dev import apiserver, ports
from statefulset.cli.dev.issuer import NODE_TOKEN, Issuer

READ = Access("raftsafe.io", "safesecrets", "", "get", "pay", "db")
ALICE = Person("alice", "u", ("devs",), (("scopes", ("a", "b")),))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    issuer = Issuer(tmp_path_factory.mktemp("issuer"), ports.choose(1, random.Random()).issuer)
    issuer.start()
    yield issuer
    issuer.stop()


@pytest.fixture
async def kube(server):
    server.api.switches = apiserver.Switches()
    found = Kube(server.url, server.ca_file, server.ca_file.with_name(NODE_TOKEN))
    yield found
    await found.close()


async def away(kube):
    with pytest.raises(Away) as caught:
        await kube.review("a-secret-token", "raftsafe")
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "a-secret-token" not in str(caught.value)
    return caught.value


async def test_whose_token_it_is(kube, server):
    token = server.token("shop", "web", audience="raftsafe", pod="web-0")
    found = await kube.review(token, "raftsafe")
    assert found.person.name == "system:serviceaccount:shop:web" and found.audiences == ("raftsafe",)
    assert "system:serviceaccounts:shop" in found.person.groups
    assert dict(found.person.extra)["authentication.kubernetes.io/pod-name"] == ("web-0",)
    assert await kube.review(token, "other") is None
    assert await kube.review(token, None) is None
    assert await kube.review("nonsense", "raftsafe") is None


async def test_a_deleted_pods_token_is_dead(kube, server):
    token = server.token("shop", "web", audience="raftsafe", pod="web-1")
    assert await kube.review(token, "raftsafe") is not None
    server.api.delete_pod(server.pod_uid("shop", "web", "web-1"))
    assert await kube.review(token, "raftsafe") is None
    assert await kube.review(server.token("shop", "web", audience="raftsafe", pod="web-2"), "raftsafe") is not None


async def test_people_of_an_identity_provider(kube, server):
    server.api.add_user("opaque", "alice", "devs")
    found = await kube.review("opaque", None)
    assert found.person == Person("alice", "", ("devs", "system:authenticated"))
    assert await kube.review("opaque", "raftsafe-admin") is None


async def test_rights_come_and_go_with_bindings(kube, server):
    assert not await kube.access(ALICE, READ)
    server.api.bind("raftsafe-viewer", "devs", "pay")
    assert await kube.access(ALICE, READ)
    assert not await kube.access(ALICE, Access("raftsafe.io", "safesecrets", "", "update", "pay", "db"))
    assert not await kube.access(ALICE, Access("raftsafe.io", "safesecrets", "value", "get", "pay", "db"))
    assert not await kube.access(ALICE, Access("raftsafe.io", "safesecrets", "", "get", "shop", "db"))
    assert not await kube.access(ALICE, Access("raftsafe.io", "safesecrets", "", "list", "", ""))
    assert not await kube.access(Person("bob"), READ)
    server.api.unbind("raftsafe-viewer", "devs", "pay")
    assert not await kube.access(ALICE, READ)


async def test_nobody_but_the_nodes_may_ask(kube, server, tmp_path):
    file = tmp_path / "token"
    for token, status in (("nonsense", 401), (server.token("shop", "web", audience=apiserver.AUDIENCE), 403)):
        file.write_text(token)
        other = Kube(server.url, server.ca_file, file)
        error = await away(other)
        assert f"it answered {status}" in error.reason and "system:auth-delegator" in error.reason
        await other.close()


async def test_our_own_token_is_read_again_each_time(server, tmp_path):
    file = tmp_path / "token"
    file.write_text("stale")
    kube = Kube(server.url, server.ca_file, file)
    await away(kube)
    file.write_text(server.ca_file.with_name(NODE_TOKEN).read_text())
    assert await kube.review("nonsense", "raftsafe") is None
    file.unlink()
    assert "FileNotFoundError" in (await away(kube)).reason
    await kube.close()


async def test_a_server_that_is_busy_names_a_time(kube, server):
    server.api.switches.status = 429
    assert (await away(kube)).after == 1.0
    server.api.switches.status = 500
    assert (await away(kube)).after == 0.0


async def test_a_server_that_drops_connections_is_back_when_it_is_back(kube, server):
    server.api.switches.away = True
    assert "cannot be reached" in (await away(kube)).reason
    server.api.switches.away = False
    assert await kube.review("nonsense", "raftsafe") is None


async def test_a_slow_server_is_given_up(kube, server, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.api.switches.slow = 1.0
    began = time.monotonic()
    assert "no answer within 0.2 s" in (await away(kube)).reason
    assert time.monotonic() - began < 1.0


async def test_nobody_at_all_and_a_stranger_in_its_place(server, tmp_path):
    nobody = Kube("https://127.0.0.1:1", server.ca_file, server.ca_file.with_name(NODE_TOKEN))
    assert "cannot be reached" in (await away(nobody)).reason
    stranger = Kube(server.url, None, server.ca_file.with_name(NODE_TOKEN))  # a CA we do not know
    asked = sum(server.api.asked.values())
    assert "cannot be reached" in (await away(stranger)).reason
    assert sum(server.api.asked.values()) == asked


async def test_no_token_in_any_log(kube, server, caplog):
    caplog.set_level(logging.DEBUG)
    token = server.token("shop", "web", audience="raftsafe")
    await kube.review(token, "raftsafe")
    server.api.switches.status = 500
    await away(kube)
    assert token not in caplog.text and "a-secret-token" not in caplog.text
    assert server.ca_file.with_name(NODE_TOKEN).read_text() not in caplog.text
