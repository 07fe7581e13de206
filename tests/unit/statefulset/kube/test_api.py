"""The kubernetes client against an API server in memory, over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statefulset.kube.api import Api
from statefulset.kube.objects import AwayError, ForbiddenError, in_cluster

from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster

MAPS = "/api/v1/namespaces/shop/configmaps"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    running = ApiServer(tmp_path, Cluster())
    yield running
    running.stop()


@pytest.fixture
def api(server: ApiServer) -> Api:
    folder, env = server.account("raftsafe/safe-control")
    return Api(in_cluster(folder, env))


def made(name: str, **data: str) -> dict:
    return {"metadata": {"name": name, "labels": {"n": name}}, "data": data}


def test_create_read_change(api: Api) -> None:
    assert api.get(f"{MAPS}/a") is None
    first = api.create(MAPS, made("a", k="1"))
    assert first is not None and api.create(MAPS, made("a", k="2")) is None
    assert api.patch(f"{MAPS}/a", {"data": {"k": None, "l": "3"}})["data"] == {"l": "3"}
    assert api.replace(f"{MAPS}/a", first) is None, "it was changed since"
    assert api.patch(f"{MAPS}/a", {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}}) is None
    assert api.patch(f"{MAPS}/b", {"data": {}}) is None


def test_a_list_is_read_page_by_page(api: Api, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulset.kube.api.PAGE", 3)
    for number in range(8):
        api.create(MAPS, made(f"m{number}"))
    assert [each["metadata"]["name"] for each in api.items(MAPS)] == [f"m{number}" for number in range(8)]
    assert [each["metadata"]["name"] for each in api.items(MAPS, labelSelector="n=m4")] == ["m4"]


def test_a_watch_begins_with_what_is_there_and_ends(api: Api, server: ApiServer) -> None:
    api.create(MAPS, made("a"))
    seen = []
    for event in api.watch(MAPS, 1):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        if len(seen) == 1:
            api.create(MAPS, made("b"))
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


def test_away_and_forbidden_are_told_apart(api: Api, server: ApiServer) -> None:
    server.away = True
    for call in (lambda: api.get(MAPS), lambda: list(api.watch(MAPS, 1))):
        with pytest.raises(AwayError, match="503"):
            call()
    server.away = False
    server.tokens.clear()
    with pytest.raises(ForbiddenError, match="401"):
        api.get(MAPS)


def test_nobody_there(tmp_path: Path) -> None:
    server = ApiServer(tmp_path, Cluster())
    folder, env = server.account("a/b")
    server.stop()
    with pytest.raises(AwayError, match="cannot be reached"):
        Api(in_cluster(folder, env)).create(MAPS, made("c"))


def test_delete(api: Api) -> None:
    api.create(MAPS, made("a"))
    assert api.delete(f"{MAPS}/a", grace=0) and api.get(f"{MAPS}/a") is None
    assert not api.delete(f"{MAPS}/a")


def test_a_log_is_text_and_none_yet_is_empty(api: Api, server: ApiServer) -> None:
    path = "/api/v1/namespaces/shop/pods/web/log"
    assert api.text(path, container="app") == ""
    server.logs["shop/web"] = 'one\n{"two": 2}\n'
    assert api.text(path, container="app", limitBytes="5") == "one\n{"
    server.away = True
    with pytest.raises(AwayError, match="503"):
        api.text(path)
