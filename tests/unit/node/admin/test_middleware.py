"""Around every handler: ids, deadline, admission, errors, audit; and that unknown errors stay unquoted."""

from __future__ import annotations

import asyncio

import pytest

from node.errors import Fatal, Retry

SECRET_TEXT = "hunter2-in-a-message"


async def test_every_answer_has_an_id_and_is_not_cached(api):
    seen = set()
    for path in ("/v1/status", "/v1/nothing", "/livez", "/v1/secrets/a/b"):
        answer = await api.call("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        seen.add(answer.headers["X-Request-Id"])
    assert len(seen) == 4


async def test_the_id_of_a_problem_is_the_id_of_the_answer(api):
    answer = await api.call("GET", "/v1/secrets/a/b")
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]


async def test_unknown_routes_and_methods(api):
    assert (await api.call("GET", "/v2/x")).code == "not_found"
    answer = await api.call("POST", "/v1/secrets/a/b")
    assert (answer.status, answer.code) == (405, "method_not_allowed") and "PUT" in answer.json["hint"]
    assert set(answer.headers["Allow"].split(",")) == {"DELETE", "GET", "PATCH", "PUT"}
    assert (await api.call("GET", "/v1/secrets/a/b/reveal")).code == "not_found"


@pytest.mark.parametrize("error", [RuntimeError(SECRET_TEXT), KeyError(SECRET_TEXT), Fatal("the disk is broken")])
async def test_what_is_unexpected_is_500_with_an_id_and_no_message(api, logged, error):
    api.node.raft.broken = error
    answer = await api.put("a/b")
    assert (answer.status, answer.code) == (500, "internal")
    text = "\n".join(logged.lines)
    assert answer.json["request_id"] in text
    assert SECRET_TEXT not in text + answer.body.decode()
    assert ("the disk is broken" if isinstance(error, Fatal) else type(error).__name__) in text


async def test_a_request_past_its_deadline_ends(make_api):
    async with make_api(deadline=0.5) as api:
        api.node.raft.hang = 3600.0
        answer = await api.put("a/b")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "Idempotency-Key" in answer.json["hint"] and "Retry-After" in answer.headers


async def test_a_body_that_never_ends_does_not_hold_the_node(make_api):
    async with make_api(deadline=0.5) as api:

        async def slowly():
            yield b'{"fields":'
            await asyncio.sleep(3600)

        headers = {"Authorization": "Bearer good-token", "Content-Type": "application/json"}
        async with api.session.put("/v1/secrets/a/b", data=slowly(), headers=headers) as response:
            assert response.status == 503


async def test_retry_keeps_its_code(api):
    api.node.raft.broken = Retry("moving", code="too_many_requests", after=3)
    answer = await api.put("a/b")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_many_requests", "3")


async def test_an_audit_line_per_request(api, audited):
    await api.put("a/b", grants=["a/x"])
    await api.call("GET", "/v1/secrets/a/c")
    await api.call("GET", "/v1/secrets", token=None)
    put, get, unknown = audited
    assert put["event"] == "admin.secret.put" and put["secret"] == "a/b" and put["version"] == 1
    assert put["subject"] == "system:serviceaccount:ops:admin" and put["result"] == "ok" and put["status"] == 200
    assert put["index"] == api.node.raft.index and put["node"] == "safe-0"
    assert (get["event"], get["secret"], get["result"], get["version"]) == (
        "admin.secret.get",
        "a/c",
        "not_found",
        None,
    )
    assert (unknown["subject"], unknown["result"]) == (None, "unauthenticated")


async def test_probes_write_no_audit_line(api, audited):
    await api.call("GET", "/livez")
    await api.call("GET", "/readyz")
    assert audited == []


async def test_a_name_that_is_no_name_is_not_in_the_audit_line(api, audited):
    await api.call("GET", "/v1/secrets/a/HUNTER2%20value")
    await api.call("DELETE", "/v1/secrets/a/HUNTER2%20value")
    await api.call("GET", "/v1/secrets?prefix=HUNTER2")
    assert len(audited) == 2 and "HUNTER2" not in str(audited)


async def test_what_changes_nothing_is_audited_only_when_refused(api, audited):
    await api.call("GET", "/v1/status")
    await api.call("GET", "/v1/secrets")
    assert audited == []
    await api.call("GET", "/v1/status", token="wrong")
    assert [line["status"] for line in audited] == [401]
