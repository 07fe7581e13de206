"""Errors as answers."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from aiohttp import web

import node
from node.admin import problem
from node.errors import Fatal, Rejected, Retry, SafeError


def body(response: web.Response) -> dict:
    assert response.content_type == "application/problem+json"
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Rejected("m"), 400),
        (Rejected("m", code="unauthenticated"), 401),
        (Rejected("m", code="token_expired"), 401),
        (Rejected("m", code="token_of_a_later_version"), 401),
        (Rejected("m", code="forbidden"), 403),
        (Rejected("m", code="not_found"), 404),
        (Rejected("m", code="method_not_allowed"), 405),
        (Rejected("m", code="conflict"), 409),
        (Rejected("m", code="key_reused"), 422),
        (Rejected("m", code="deleted"), 410),
        (Rejected("m", code="too_large"), 413),
        (Rejected("m", code="new_code"), 400),
        (Retry("m", code="too_many_requests"), 429),
        (Retry("m", code="no_quorum"), 503),
        (Retry("m"), 503),
        (Retry("m", code="sealed"), 503),
        (Retry("m", code="new_code"), 503),
        (Fatal("m"), 500),
        (SafeError("m"), 500),
    ],
)
def test_status(error: SafeError, status: int):
    answer = problem.answer(error, "r1")
    data = body(answer)
    assert answer.status == data["status"] == status
    assert set(data) == {"type", "title", "status", "detail", "code", "hint", "request_id"}
    assert data["request_id"] == "r1" and data["title"]
    if status == 500:
        assert data["code"] == "internal" and data["detail"] != "m" and "r1" in data["hint"]
    else:
        assert data["code"] == error.code and data["detail"] == "m"
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_retry_after_is_whole_seconds_and_never_zero():
    for after, header in ((0.0, "1"), (0.2, "1"), (1.0, "1"), (1.2, "2")):
        assert problem.answer(Retry("m", after=after), "r").headers["Retry-After"] == header


def test_what_the_framework_refuses():
    assert problem.from_http(web.HTTPNotFound()).code == "not_found"
    wrong = problem.from_http(web.HTTPMethodNotAllowed("POST", ["GET", "PUT"]))
    answer = problem.answer(wrong, "r")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,PUT") and "PUT" in body(answer)["hint"]
    assert "Allow" not in problem.answer(Rejected("m"), "r").headers
    assert problem.from_http(web.HTTPRequestEntityTooLarge(1, 2)).code == "too_large"
    assert problem.status_of(problem.from_http(web.HTTPBadRequest(reason="quoted"))) == 400
    assert problem.status_of(problem.from_http(web.HTTPInternalServerError(reason="quoted"))) == 500


def test_results_of_the_store_become_the_errors_they_are():
    assert isinstance(problem.from_result("conflict", "m", "h"), Rejected)
    assert isinstance(problem.from_result("unavailable", "m", "h"), Retry)


def test_every_code_says_what_to_do_also_where_the_refusal_does_not():
    assert set(problem.HINTS) == set(problem.STATUS) - {"internal"} and all(problem.HINTS.values())
    assert set(problem.TITLES) == set(problem.STATUS)
    for error in (Rejected("m"), Rejected("m", code="token_x"), Rejected("m", code="new"), Retry("m")):
        assert body(problem.answer(error, "r"))["hint"]
    assert body(problem.answer(Rejected("m", hint="h"), "r"))["hint"] == "h"


@pytest.mark.parametrize("folder", ["admin", "tokens"])
def test_no_refusal_here_is_without_a_hint_of_its_own(folder: str):
    found = 0
    for path in (Path(node.__file__).parent / folder).glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Rejected", "Retry"):
                found += 1
                hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
                assert hints and not (isinstance(hints[0], ast.Constant) and not hints[0].value), (path, call.lineno)
    assert found > 10


def test_what_is_named_by_its_key_in_the_body_is_named_by_its_option_too():
    hint = body(problem.answer(Rejected("expires_ms is not after not_before_ms", hint="give both"), "r"))["hint"]
    assert hint.startswith("give both (with `safe`: --expires") and "--not-before" in hint and "--if-v" not in hint
    assert "--if-version" in problem.hint_of(Rejected("m", hint="only with if_version 0"))
