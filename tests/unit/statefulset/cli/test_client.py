"""How answers and broken attempts are read. The client against a real HTTPS server is in test_main.py."""

from __future__ import annotations

import ssl

import httpx
import pytest

from statefulset.cli.client import Answer, answer_of, away, failure_of, tls
from statefulset.cli.connection import Connection
from statefulset.cli.errors import AWAY, REFUSED, USAGE, CliError
from statefulset.cli.rounds import Failure, Stop

A = "https://a:1"


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    body = {"code": code, "detail": "because", "hint": "do this", "request_id": "r1"}
    return httpx.Response(status, json=body, headers=headers)


def test_a_2xx_with_json_is_an_answer():
    answer = answer_of(httpx.Response(200, json={"x": 1}, headers={"Raftsafe-Stale": "true"}), A)
    assert isinstance(answer, Answer) and answer.data == {"x": 1} and answer.stale
    answer = answer_of(httpx.Response(200, json=[]), A)
    assert isinstance(answer, Answer) and not answer.stale


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413])
def test_a_refusal_is_raised_with_its_words(status: int):
    with pytest.raises(CliError) as caught:
        answer_of(problem(status, "conflict"), A)
    error = caught.value
    assert (error.exit_code, error.code, error.message, error.hint) == (REFUSED, "conflict", "because", "do this")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_a_failure(status: int):
    failure = answer_of(problem(status, "no_quorum", **{"Retry-After": "2"}), A)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.code, failure.after, failure.request_id) == ("answered", "no_quorum", 2.0, "r1")


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"", b"[]", b'"x"'])
def test_something_else_behind_the_address(body: bytes):
    assert isinstance(answer_of(httpx.Response(502, content=body), A), Failure)
    with pytest.raises(CliError) as caught:
        answer_of(httpx.Response(302, content=body), A)
    assert caught.value.exit_code == REFUSED and caught.value.hint


def test_a_200_that_is_not_json_is_not_taken_for_done():
    assert isinstance(answer_of(httpx.Response(200, content=b"<html>"), A), Failure)


@pytest.mark.parametrize("value", ["", "soon", "-1", "9" * 9, "1.5"])
def test_an_odd_retry_after_counts_as_none(value: str):
    failure = answer_of(problem(503, "unavailable", **{"Retry-After": value}), A)
    assert isinstance(failure, Failure) and failure.after == 0.0


def chained(outer: httpx.TransportError, inner: BaseException) -> httpx.TransportError:
    outer.__cause__ = inner
    return outer


def test_kinds_of_broken_attempts():
    refused = chained(httpx.ConnectError("x"), ConnectionRefusedError(111, "Connection refused"))
    assert failure_of(refused, A) == Failure("unreachable", A, "connection refused")
    assert failure_of(httpx.ConnectTimeout("x"), A).kind == "unreachable"
    assert failure_of(httpx.ConnectError("x"), A).kind == "unreachable"
    assert failure_of(httpx.ReadTimeout("x"), A).kind == "lost"
    assert failure_of(httpx.RemoteProtocolError("x"), A).kind == "lost"
    assert failure_of(chained(httpx.ReadError("x"), ConnectionResetError(104, "reset")), A).kind == "lost"
    bad = ssl.SSLCertVerificationError(1, "certificate verify failed")
    bad.verify_message = "unable to get local issuer certificate"
    failure = failure_of(chained(httpx.ConnectError("x"), bad), A)
    assert failure.kind == "untrusted" and "SAFE_CA_FILE" in failure.hint


def test_nobody_could_do_it():
    error = away(Stop((Failure("unreachable", A, "connection refused"),)))
    assert error.exit_code == AWAY and error.code == "unavailable" and "connection refused" in error.message
    error = away(Stop((Failure("unreachable", A, "x"), Failure("answered", A, "no majority", "no_quorum", "wait"))))
    assert (error.exit_code, error.code, error.hint) == (AWAY, "no_quorum", "wait")


def test_a_ca_file_without_a_certificate(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(CliError) as caught:
        tls(Connection((A,), path, path))
    assert caught.value.exit_code == USAGE


def test_only_tls_13():
    assert tls(Connection((A,), None, None)).minimum_version == ssl.TLSVersion.TLSv1_3  # type: ignore[arg-type]
