"""The HTTPS client of the admin API: one call, several servers, one Idempotency-Key.

Why it exists: to turn (command, servers, deadline) into an answer or a CliError that says what to do next.
What it refuses to do: follow redirects, use a proxy from the environment, speak anything but TLS 1.3 to a server whose
certificate it has checked (or through the socket of this pod), or put a value or the token into an error.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from statefulset.cli import output
from statefulset.cli.connection import Connection
from statefulset.cli.errors import AWAY, REFUSED, CliError, spoken, usage
from statefulset.cli.rounds import Failure, Rounds, Stop, Try, Wait

CONNECT = 10.0
"""Seconds for a connection through an API server, which may be far away and has one to make itself."""
ROUTE = "port-forwarding needs pods/portforward: get and create, which the ClusterRole raftsafe-connect gives"
RETRIED = frozenset({429, 500, 502, 503, 504})
APPLY = "/v1/apply"
"""Its body comes from a file, whose keys are words without dashes before them."""


class Answer:
    """A 2xx answer: the decoded JSON and whether the node called it stale. `span`: our wall clock when it was asked for
    and when it was there, in ms."""

    def __init__(self, data: Any, stale: bool, server: str) -> None:
        self.data = data
        self.stale = stale
        self.server = server
        self.span = (0.0, 0.0)


def tls(connection: Connection) -> ssl.SSLContext:
    """TLS 1.3, the server's name and chain checked. Raises CliError (usage) if the CA file holds no certificate."""
    try:
        path = str(connection.ca_file) if connection.ca_file else None
        context = ssl.create_default_context(cafile=path, cadata=connection.ca or None)
    except (ssl.SSLError, OSError):
        hint = "SAFE_CA_FILE must be a PEM file with the certificate of the store's server CA"
        raise usage("the CA file holds no certificate", hint) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Client:
    """Use as a context manager. `timeout` is in seconds and covers all attempts of one call together."""

    def __init__(
        self,
        connection: Connection,
        timeout: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = connection
        self._timeout = timeout
        self._now = now
        self._sleep = sleep
        self._good = 0
        if connection.socket is not None:
            over: dict[str, Any] = {"transport": httpx.HTTPTransport(uds=str(connection.socket))}
        else:
            over = {"verify": tls(connection)}
        self._http = httpx.Client(http2=False, trust_env=False, follow_redirects=False, **over)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        if self.connection.way is not None:
            self.connection.way.close()

    def read(self, path: str, params: Mapping[str, str] | None = None, *, patient: bool = False) -> Answer:
        """GET from the first server that answers; `patient`: waits for one as a change does. Raises CliError: refused
        (1), away (3)."""
        return self._call("GET", path, params, None, patient=patient)

    def change(self, method: str, path: str, params: Mapping[str, str] | None = None, body: object = None) -> Answer:
        """One change, applied once however often it has to be sent. Raises CliError: refused (1), away (3)."""
        answer = self._call(method, path, params, body, patient=True)
        output.Applied.made = True
        return answer

    def ask_each(self, path: str) -> list[Answer | Failure]:
        """GET from every server once, for what only all of them together know. Raises CliError on a refusal, unless
        another one answers: a node that has not caught up may not know yet what the others do."""
        read = min(self._timeout, 6.0)
        results: list[Answer | Failure] = []
        refused: CliError | None = None
        for server in self.connection.servers:
            try:
                results.append(self._once(Try(server, 1.0, read), "GET", path, {}, None, {}))
            except CliError as error:
                if error.exit_code != REFUSED:
                    raise
                refused = refused or error
                results.append(Failure("answered", server, error.message, error.code, error.hint, error.request_id))
        if refused is not None and not any(isinstance(result, Answer) for result in results):
            raise refused
        return results

    def _call(self, method: str, path: str, params: Mapping[str, str] | None, body: object, *, patient: bool) -> Answer:
        headers = {} if method == "GET" else {"Idempotency-Key": secrets.token_hex(16)}
        content = None if body is None else json.dumps(body).encode()
        servers = self.connection.servers
        rounds = Rounds(servers, self._good, self._now(), self._timeout, patient=patient)
        while True:
            step = rounds.next(self._now())
            if isinstance(step, Stop):
                raise away(step)
            if isinstance(step, Wait):
                self._sleep(step.seconds)
                continue
            result = self._once(step, method, path, params or {}, content, headers)
            if isinstance(result, Answer):
                self._good = servers.index(step.server)
                return result
            rounds.failed(result)

    def _once(
        self,
        step: Try,
        method: str,
        path: str,
        params: Mapping[str, str],
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer | Failure:
        way = self.connection.way
        called = step.server if way is None else way.called(step.server)
        every = {"Accept": "application/json", **headers}
        if token := self.connection.token():
            every["Authorization"] = f"Bearer {token}"
        if content is not None:
            every["Content-Type"] = "application/json"
        began = time.time() * 1000
        try:
            response = self._http.request(
                method,
                step.server + path,
                params=dict(params),
                content=content,
                headers=every,
                timeout=httpx.Timeout(step.read, connect=step.connect if way is None else CONNECT),
            )
        except httpx.TransportError as error:
            failure = failure_of(error, called)
            why = "" if way is None else way.why(step.server)
            return dataclasses.replace(failure, message=why, hint=ROUTE) if why else failure
        except (httpx.InvalidURL, UnicodeError):
            raise usage(f"{step.server} is not a usable URL", "write SAFE_SERVER as https://host:port") from None
        answer = answer_of(response, called, "" if path == APPLY else "--")
        if isinstance(answer, Answer):
            answer.span = (began, time.time() * 1000)
        return answer


def failure_of(error: httpx.TransportError, server: str) -> Failure:
    """What a broken attempt means. Looks at the types and the system's own words, never at the request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "is SAFE_CA_FILE the CA of this store, and is the host name in SAFE_SERVER one of its names?"
            return Failure("untrusted", server, f"certificate not accepted: {cause.verify_message}", hint=hint)
        if isinstance(cause, OSError) and cause.strerror and isinstance(error, httpx.ConnectError):
            return Failure("unreachable", server, cause.strerror.lower())
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectTimeout):
        return Failure("unreachable", server, "no connection in time")
    if isinstance(error, httpx.ConnectError):
        return Failure("unreachable", server, "no connection")
    return Failure(
        "lost", server, "no answer in time" if isinstance(error, httpx.TimeoutException) else "connection lost"
    )


def answer_of(response: httpx.Response, server: str, mark: str = "--") -> Answer | Failure:
    """2xx is an Answer, what may pass is a Failure; a refusal is raised as CliError with exit code 1. `mark`: before
    the words that the caller wrote, where the node has its own for them."""
    try:
        data = response.json()
    except ValueError:
        data = None
    if response.is_success and data is not None:
        return Answer(data, response.headers.get("Raftsafe-Stale") == "true", server)
    problem: dict[str, Any] = data if isinstance(data, dict) else {}
    code = str(problem.get("code") or ("internal" if response.status_code in RETRIED else "invalid"))
    message = spoken(
        str(problem.get("detail") or f"{server} answered {response.status_code} and did not say why"), mark
    )
    hint = spoken(
        str(problem.get("hint") or "" if problem else "is something else than the store behind this address?"), mark
    )
    request_id = str(problem.get("request_id") or "")
    if response.status_code in RETRIED or response.is_success:
        return Failure(
            "answered", server, message, code, hint, request_id, _seconds(response.headers.get("Retry-After"))
        )
    raise CliError(message, code=code, exit_code=REFUSED, hint=hint, request_id=request_id)


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def away(stop: Stop) -> CliError:
    """Nobody could do it: the answer of a node is passed on, else each server is named with its reason."""
    best = stop.best()
    if best.kind == "answered":
        return CliError(best.message, code=best.code, exit_code=AWAY, hint=best.hint, request_id=best.request_id)
    reasons = "; ".join(f"{failure.server}: {failure.message}" for failure in stop.failures)
    hint = best.hint or "are the nodes running, and is SAFE_SERVER right? `safe status` asks each of them"
    return CliError(f"no node could be reached ({reasons})", code="unavailable", exit_code=AWAY, hint=hint)
