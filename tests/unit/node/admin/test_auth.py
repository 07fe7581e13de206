"""Who may come in by the admins' door."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from node.admin import auth
from node.admin.rights import NEEDS, Right, rights
from node.errors import Retry

ROOT = Path(__file__).parents[4]
ROUTES = [
    ("PUT", "/v1/secrets/a/b"),
    ("GET", "/v1/secrets/a/b"),
    ("DELETE", "/v1/secrets/a/b"),
    ("POST", "/v1/secrets/a/b/undelete"),
    ("POST", "/v1/secrets/a/b/purge"),
    ("POST", "/v1/secrets/a/b/grants"),
    ("GET", "/v1/secrets"),
    ("GET", "/v1/status"),
    ("GET", "/v1/sidecars"),
    ("GET", "/v1/nothing"),
    ("PATCH", "/v1/status"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("", 401, "unauthenticated"),
        ("Bearer", 401, "unauthenticated"),
        ("Bearer ", 401, "unauthenticated"),
        ("Basic Z29vZC10b2tlbg==", 401, "unauthenticated"),
        ("good-token", 401, "unauthenticated"),
        ("Bearer bad", 401, "token_malformed"),
        ("Bearer expired-token", 401, "token_expired"),
        ("Bearer workload-token", 403, "forbidden"),
    ],
)
async def test_every_route_refuses(api, method, path, header, status, code):
    if status == 403 and path == "/v1/nothing":
        status, code = 404, "not_found"  # there is nothing to have a right to
    if status == 403 and method == "PATCH":
        status, code = 405, "method_not_allowed"
    headers = {} if header is None else {"Authorization": header}
    answer = await api.call(method, path, {"fields": {"value": ""}} if method == "PUT" else None, token=None, **headers)
    assert (answer.status, answer.code) == (status, code)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert answer.json["hint"]
    assert len(api.node.store) == 0


async def test_two_authorization_headers_are_none(api):
    headers = [("Authorization", "Bearer good-token"), ("Authorization", "Bearer workload-token")]
    async with api.session.get("/v1/status", headers=headers) as response:
        assert response.status in (400, 401)


async def test_the_scheme_is_not_case_sensitive(api):
    assert (await api.call("GET", "/v1/status", token=None, Authorization="bearer  good-token")).status == 200


async def test_an_issuer_out_of_reach_is_not_a_refusal(api):
    api.node.gate.broken = Retry("the issuer's keys are not known", hint="try again", after=2)
    answer = await api.call("GET", "/v1/status")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "2")


SA = "system:serviceaccount:payments:api"
NEEDED = [
    ("PUT", "/v1/secrets/a/b", {("create", "safesecrets"), ("update", "safesecrets")}),
    ("GET", "/v1/secrets/a/b", {("get", "safesecrets")}),
    ("DELETE", "/v1/secrets/a/b", {("delete", "safesecrets")}),
    ("POST", "/v1/secrets/a/b/undelete", {("update", "safesecrets")}),
    ("POST", "/v1/secrets/a/b/purge", {("delete", "safesecrets")}),
    ("POST", "/v1/secrets/a/b/grants", {("update", "safesecrets/grant")}),
    ("GET", "/v1/secrets?namespace=a", {("list", "safesecrets")}),
]
BODIES = {"PUT": {"fields": {"value": "eA=="}}, "POST": {"add": ["a/x"]}}


@pytest.mark.parametrize(("method", "path", "needed"), NEEDED)
async def test_exactly_the_rights_in_the_table_open_a_route(api, method, path, needed):
    await api.put("a/b")

    async def call():
        return await api.call(method, path, BODIES.get(method), token="workload-token")

    for missing in needed:
        api.node.gate.rights[SA] = {(verb, what, "a", "*") for verb, what in needed - {missing}}
        answer = await call()
        assert answer.code == "forbidden"
        assert f"{missing[0]} {missing[1]}.raftsafe.io in namespace a" in answer.json["detail"]
        assert "in the namespace a" in answer.json["hint"]
    api.node.gate.rights[SA] = {(verb, what, "other", "*") for verb, what in needed}
    assert (await call()).code == "forbidden"
    api.node.gate.rights[SA] = {(verb, what, "a", "*") for verb, what in needed}
    answer = await call()
    assert answer.status != 403, answer.body


@pytest.mark.parametrize("action", sorted(NEEDS))
def test_the_role_in_the_hint_has_all_that_the_route_needs(action):
    """Reading a value named two roles, one after the other."""
    found = yaml.safe_load_all((ROOT / "statefulset/base/rbac/roles.yaml").read_text())
    roles = {one["metadata"]["name"]: one["rules"] for one in found}
    asked = rights(NEEDS[action], "a/b", "a")
    hints = {auth._hint(right, asked) for right in asked}
    for hint in hints:
        rules = roles[re.search(r"raftsafe-[a-z]+", hint)[0]]
        for right in asked:
            assert any(right.what in rule["resources"] and right.verb in rule["verbs"] for rule in rules), hint
    assert len(hints) <= 1


async def test_reading_a_value_names_one_role_for_both_rights(api):
    await api.put("a/b")
    for held in (set(), {("get", "safesecrets", "a", "*")}):
        api.node.gate.rights[SA] = held
        answer = await api.call("GET", "/v1/secrets/a/b/value", token="workload-token")
        assert answer.code == "forbidden" and "raftsafe-revealer" in answer.json["hint"]


async def test_grants_inside_a_write_need_the_right_to_grant(api):
    api.node.gate.rights[SA] = {("create", "safesecrets", "a", "*"), ("update", "safesecrets", "a", "*")}
    body = {"fields": {"value": "eA=="}}
    assert (await api.call("PUT", "/v1/secrets/a/b", body, token="workload-token")).status == 200
    answer = await api.call("PUT", "/v1/secrets/a/b", {**body, "grants": ["*/*"]}, token="workload-token")
    assert answer.code == "forbidden" and "safesecrets/grant" in answer.json["detail"]
    record = api.node.store.get("a/b")
    assert record.version == 1 and record.grants == ()


async def test_a_list_of_everything_needs_the_right_everywhere(api):
    api.node.gate.rights[SA] = {("list", "safesecrets", "a", "")}
    ask = {"token": "workload-token"}
    assert (await api.call("GET", "/v1/secrets?namespace=a", **ask)).status == 200
    for query in ("", "?namespace=", "?namespace=b", "?namespace=a&namespace=a", "?namespace=A", "?prefix=a/"):
        answer = await api.call("GET", f"/v1/secrets{query}", **ask)
        assert answer.code == "forbidden" and answer.json["hint"], query


async def test_the_right_is_asked_for_the_secret_by_name(api):
    await api.call("GET", "/v1/secrets/a/b")
    assert api.node.gate.asked == [Right("get", "safesecrets", "", "a", "b")]


async def test_a_route_without_an_entry_is_closed_to_everybody(api, monkeypatch):
    monkeypatch.setattr("node.admin.auth.NEEDS", {})
    assert (await api.call("GET", "/v1/status")).code == "forbidden"


async def test_the_groups_of_a_person_do_not_make_an_admin(api):
    assert (await api.call("GET", "/v1/status", token="workload-token")).code == "forbidden"


async def test_the_body_of_a_stranger_is_not_read(api):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bad"}

    async def body():
        yield b" " * 1000

    async with api.session.put("/v1/secrets/a/b", data=body(), headers=headers) as response:
        assert response.status == 401


async def test_probes_and_the_document_are_open(api):
    for path in ("/livez", "/readyz", "/v1/openapi.json"):
        assert (await api.call("GET", path, token=None)).status == 200
