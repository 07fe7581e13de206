"""Who may come in by the admins' door."""

from __future__ import annotations

import dataclasses

import pytest

from node.errors import Retry

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
    api.node.tokens.broken = Retry("the issuer's keys are not known", hint="try again", after=2)
    answer = await api.call("GET", "/v1/status")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "2")


async def test_nobody_is_an_admin_unless_named(make_api):
    async with make_api() as api:
        settings = dataclasses.replace(api.node.settings, admins=())
        object.__setattr__(api.node.services, "settings", settings)
        assert (await api.call("GET", "/v1/status")).code == "forbidden"


async def test_the_body_of_a_stranger_is_not_read(api):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bad"}

    async def body():
        yield b" " * 1000

    async with api.session.put("/v1/secrets/a/b", data=body(), headers=headers) as response:
        assert response.status == 401


async def test_probes_and_the_document_are_open(api):
    for path in ("/livez", "/readyz", "/v1/openapi.json"):
        assert (await api.call("GET", path, token=None)).status == 200
