"""The document and the routes say the same."""

from __future__ import annotations

import json
import re

from node.admin.app import create_app
from node.admin.openapi import DOCUMENT
from node.admin.secrets import view

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}


def documented() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS}


def operations():
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, item, method, operation


def test_every_route_is_in_the_document_and_the_other_way_round(node):
    app = create_app(node.services)
    routes = {(route.method, route.resource.canonical) for route in app.router.routes()}
    assert routes == documented()
    assert len(routes) <= 24, "a route more is a right more"


def test_every_reference_leads_somewhere():
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)):
        assert name in DOCUMENT["components"]["schemas"]


def test_path_parameters_are_described_and_operations_have_names_of_their_own():
    names = []
    for path, item, _, operation in operations():
        names.append(operation["operationId"])
        described = {one["name"] for one in item.get("parameters", []) if one["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path))
        assert operation["summary"] and "200" in operation["responses"]
    assert len(set(names)) == len(names)


async def test_it_is_served(api):
    assert (await api.call("GET", "/v1/openapi.json", token=None)).json == json.loads(json.dumps(DOCUMENT))


async def test_answers_have_the_keys_that_are_described(api):
    schemas = DOCUMENT["components"]["schemas"]
    put = await api.put("a/b")
    assert set(put.json) == set(schemas["Written"]["required"])
    assert set((await api.put("a/b", expires_ms=4_000_000_000_000)).json) == set(schemas["Written"]["required"])
    assert set((await api.put("a/b")).json) == set(schemas["Written"]["properties"])
    for word in ("history", "value"):
        answer = await api.call("GET", f"/v1/secrets/a/b/{word}")
        assert set(answer.json) == set(schemas[word.capitalize()]["properties"])
    grants = await api.call("POST", "/v1/secrets/a/b/grants", {"add": ["a/x"]})
    assert set(grants.json) == set(schemas["Granted"]["properties"]) == set(schemas["Granted"]["required"])
    applied = await api.call("POST", "/v1/apply", {"secrets": [{"name": "a/b", "fields": {"value": ""}}]})
    assert set(applied.json) == set(schemas["Applied"]["properties"])
    one = schemas["Applied"]["properties"]["secrets"]["items"]["properties"]
    assert set(applied.json["secrets"][0]) == set(one) and applied.json["secrets"][0]["result"] in one["result"]["enum"]
    assert set(view(api.node.store.get("a/b"))) == set(schemas["Secret"]["properties"]) - {"delivered"}
    assert set((await api.call("GET", "/v1/secrets")).json) == set(schemas["Page"]["properties"])
    assert set((await api.call("GET", "/v1/status")).json) == set(schemas["Status"]["properties"])
    api.node.sidecars.add("p", {})
    assert set((await api.call("GET", "/v1/sidecars")).json[0]) == set(schemas["Sidecar"]["properties"])
    api.node.sidecars.add("p", {"a/b": 1})
    rollout = (await api.call("GET", "/v1/secrets/a/b/rollout")).json
    assert set(rollout) == set(schemas["Rollout"]["properties"])
    assert set(rollout["pods"][0]) == set(schemas["Standing"]["properties"])
    explained = (await api.call("GET", "/v1/explain/a/x?secret=a/b")).json
    assert set(explained) == set(schemas["Explained"]["properties"])
    assert set(explained["verdicts"][0]) == set(schemas["Verdict"]["properties"])
    assert set((await api.call("GET", "/v1/secrets/a/x")).json) == set(schemas["Problem"]["properties"])


async def test_queries_that_are_described_are_taken(api):
    await api.put("a/b")
    samples = {
        "namespace": "a",
        "prefix": "b",
        "after": "a/a",
        "limit": "5",
        "consistency": "local",
        "delivered": "true",
        "version": "1",
        "field": "value",
        "secret": "a/b",
    }
    for path, _item, method, operation in operations():
        for one in operation.get("parameters", []):
            if one["in"] == "query" and method == "get":
                real = path.replace("{namespace}", "a").replace("{name}", "b").replace("{serviceaccount}", "x")
                assert (await api.call("GET", f"{real}?{one['name']}={samples[one['name']]}")).status == 200
