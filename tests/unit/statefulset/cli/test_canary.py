"""Plants a value, walks every path and every error path, and searches all that server and CLI wrote for it: answers,
logs, the audit file, and what a scrape of the metrics gets afterwards."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import socket
import ssl
import sys
import urllib.parse

import pytest

from node import audit
from node.clock import SystemClock
from node.errors import Fatal, Rejected, Retry
from node.sink import AppendFile
from statefulset.cli import chains

CORE = f"K4NARY{os.urandom(9).hex()}"
VALUE = b"\xff" + CORE.encode() + b"\n\0"
B64 = base64.b64encode(VALUE).decode()
KEY = bytes(range(32))
"""Of the chain of the audit file."""


def traces(text: bytes) -> list[str]:
    """The ways in which `text` shows the value."""
    folded = text.lower()
    shapes = {
        "raw": VALUE,
        "core": CORE.encode(),
        "base64": B64.encode(),
        "base64 of the core": base64.b64encode(CORE.encode())[:16],
        "base64, one byte in": B64[4:24].encode(),
        "hex": CORE.encode().hex().encode(),
        "repr": repr(VALUE).encode(),
        "list of numbers": ", ".join(map(str, CORE.encode()[:6])).encode(),
        "percent": urllib.parse.quote(VALUE).encode(),
        "backwards": CORE[::-1].encode(),
    }
    return [name for name, shape in shapes.items() if shape.lower() in folded]


def test_the_search_finds_it_in_every_shape():
    for shown in (
        VALUE,
        B64.encode(),
        VALUE.hex().encode(),
        repr(VALUE).encode(),
        repr(list(VALUE)).encode(),
        f"x{CORE}y".encode(),
    ):
        assert traces(shown), shown
    assert traces(b"nothing here") == []


class Everything:
    """What was written, by whom."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    def add(self, what: str, *texts: bytes) -> None:
        self.found[what] = self.found.get(what, b"") + b"\n".join(texts)

    def check(self) -> None:
        shown = {what: traces(text) for what, text in self.found.items()}
        assert not {what: shapes for what, shapes in shown.items() if shapes}


def scraped(server, tls) -> bytes:
    """What monitoring gets of the server now."""
    port = int(server.url.rsplit(":", 1)[1])
    connection = http.client.HTTPSConnection("localhost", port, context=tls.client, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": "Bearer good-token"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert response.status == 200 and b'raftsafe_audit_lines_total{to="SAFE_AUDIT_FILE"}' in text, text
    return text


def ended(path) -> bytes:
    """The audit file after its end, when it is whole and says more than that it began."""
    assert audit.uninstall(30)
    text = path.read_bytes()
    found = chains.follow(text.decode().splitlines(), [KEY])
    assert (found.chains, found.open, found.other) == (1, 0, 0) and found.lines > 2, text
    return text


@pytest.fixture
def audit_file(tmp_path):
    path = tmp_path / "audit.log"
    audit.install("safe-0", KEY, {"SAFE_AUDIT_FILE": AppendFile(path)}, SystemClock())
    yield path
    audit.uninstall(30)


@pytest.fixture
def everything(logged, capfd, server, tls, audit_file):
    everything = Everything()
    yield everything
    everything.add("metrics", scraped(server, tls))
    everything.add("audit file", ended(audit_file))
    logging.getLogger("node").debug("the last line")
    print("the end", file=sys.stderr)
    captured = capfd.readouterr()
    everything.add("log of the server", "\n".join(logged.lines).encode())
    everything.add("standard output of the server", captured.out.encode("utf-8", "surrogateescape"))
    everything.add("standard error of the server", captured.err.encode("utf-8", "surrogateescape"))
    assert any("the last line" in line for line in logged.lines), "the log was not captured"
    assert "the end" in captured.err
    everything.check()


def test_a_leak_into_audit_and_metrics_would_be_found(server, tls, audit_file):
    audit.AuditLog("safe-0", SystemClock()).emit("test.leak", "nobody", {"code": B64}, known=True)
    shown = {}
    try:
        shown = {"metrics": traces(scraped(server, tls)), "audit file": traces(ended(audit_file))}
    finally:
        del audit._refused["test.leak", B64]
    assert shown == {what: ["base64", "base64, one byte in"] for what in ("metrics", "audit file")}


def run(everything: Everything, safe, *args: str, code: int, **more) -> None:
    for flags in ([], ["--json"]) if code else ([],):
        result = safe(*args, *flags, **{"stdin": VALUE, **more})
        assert result.code == code, (args, result.out, result.err)
        everything.add(f"safe {' '.join(args[:2])} (exit {code})", result.out, result.err)


def test_the_cli_on_every_path(everything, make_safe, server, nowhere, tmp_path):
    safe = make_safe(server.url)
    path = tmp_path / "value"
    path.write_bytes(VALUE)
    run(everything, safe, "put", "a/b", "--for", "a/x", code=0)
    assert server.node.value("a/b") == {"value": VALUE}
    run(everything, safe, "put", "a/c", "--file", str(path), code=0)
    run(everything, safe, "put", "a/d", "--from-file", f"x={path}", "--field", "y", code=0)
    run(everything, safe, "patch", "a/d", "--field", "y", code=0)
    run(
        everything,
        safe,
        "put",
        "a/e",
        "--from-json",
        "-",
        code=0,
        stdin=json.dumps({"x": VALUE.decode("latin-1")}).encode(),
    )
    for args in (
        ["get", "a/b"],
        ["history", "a/d"],
        ["rollback", "a/d"],
        ["list"],
        ["status"],
        ["sidecars"],
        ["grant", "a/b", "a/y"],
        ["revoke", "a/b", "a/y"],
    ):
        run(everything, safe, *args, code=0)
    run(everything, safe, "put", "a/b", "--if-version", "99", code=1)
    run(everything, safe, "put", "a/b", code=1, stdin=VALUE * 50_000)
    for args in (
        ["put", "a/b", CORE], ["put", "a/b", f"--{CORE}"], ["put", CORE], ["put", "a/b", f"--value={CORE}"],
        ["put", "a/b", "--file", CORE], ["put", "a/b", "--from-file", f"x={CORE}"], ["put", "a/b", "--from-file", CORE],
        ["put", "a/b", "--for", CORE], ["put", "a/b", "--if-version", CORE], ["put", "a/b", "--timeout", CORE],
        ["put", "a/b", "--field", f"{CORE}/"], ["get", CORE], ["grant", "a/b", CORE],
    ):  # fmt: skip
        run(everything, safe, *args, code=2)
    for args in (
        ["put", "a/b", "--generate", f"x={CORE}"], ["put", "a/b", "--generate", CORE],
        ["put", "a/b", "--from-dir", CORE], ["put", "a/b", "--from-env-file", CORE],
        ["put", "a/b", "--from-env-file", "-"], ["put", "a/b", "--from-json", "-"], ["put", "a/b", "--expires", CORE],
        ["patch", "a/b", CORE], ["patch", "a/b", "--remove", f"{CORE}/"], ["patch", "a/b", f"--value={CORE}"],
    ):  # fmt: skip
        run(everything, safe, *args, code=2)
    run(everything, make_safe(nowhere), "put", "a/b", "--timeout", "0.3", code=3)
    run(everything, make_safe(server.url, token="expired-token"), "put", "a/b", code=1)
    run(everything, make_safe(server.url, token="workload-token"), "put", "a/b", code=1)
    run(everything, make_safe(server.url, token=f"{CORE} {CORE}"), "put", "a/b", code=2)


def test_the_cli_when_the_server_fails(everything, make_safe, server):
    safe, raft = make_safe(server.url), server.node.raft
    for error in (
        Retry("no majority", code="no_quorum"),
        Retry("moving"),
        Fatal("the disk is broken"),
        Rejected("no", code="conflict"),
        RuntimeError(f"unexpected {VALUE!r} {B64}"),
        ValueError(VALUE),
    ):
        raft.broken = error
        run(everything, safe, "put", "a/b", "--timeout", "0.5", code=1 if isinstance(error, Rejected) else 3)
    raft.broken = None

    class Clumsy:
        def seal_value(self, name, write_id, fields):
            raise TypeError(f"cannot seal {fields!r}")

    keyring = server.node.services.keyring
    object.__setattr__(server.node.services, "keyring", Clumsy())
    run(everything, safe, "put", "a/b", "--timeout", "0.5", code=3)
    object.__setattr__(server.node.services, "keyring", keyring)


def test_the_cli_when_the_answer_is_nonsense(everything, make_safe, tls, server):
    import threading

    make_safe(server.url)("delete", "no/such")  # something for the log to hold
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client = tls.server.wrap_socket(listener.accept()[0], server_side=True)
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                client.close()
            except (OSError, ssl.SSLError):
                return

    threading.Thread(target=serve, daemon=True).start()
    safe = make_safe(f"https://localhost:{listener.getsockname()[1]}")
    result = safe("put", "a/b", stdin=VALUE)
    listener.close()
    assert result.code == 1 and "KeyError" in result.error and "Traceback" not in result.error
    everything.add("safe put with a nonsense answer", result.out, result.err)


def test_the_api_on_every_error_path(everything, server, tls):
    connection = http.client.HTTPSConnection("localhost", int(server.url.rsplit(":", 1)[1]), context=tls.client)
    bearer = {"Authorization": "Bearer good-token", "Content-Type": "application/json"}
    put = json.dumps({"fields": {"value": B64}})
    one = "/v1/secrets/a/b"
    cases = [
        ("PUT", one, put, {}, 200),
        ("PUT", one, put[:-1], {}, 400),
        ("PUT", one, VALUE, {}, 400),
        ("PUT", one, f'{{"{CORE}": 1, "fields": {{"value": "{B64}"}}}}', {}, 400),
        ("PUT", one, f'{{"fields": {{"{CORE}/": "{B64}"}}}}', {}, 400),
        ("PUT", one, f'{{"fields": {{"value": "{CORE}!"}}}}', {}, 400),
        ("PUT", one, f'{{"fields": {{"value": "{B64}"}}, "grants": ["{CORE}"]}}', {}, 400),
        ("PUT", one, f'{{"fields": {{"value": "{B64}"}}, "if_version": "{CORE}"}}', {}, 400),
        ("PUT", one, put, {"Content-Type": f"text/{CORE}"}, 400),
        ("PUT", one, put, {"Content-Encoding": CORE}, 400),
        ("PUT", one, put, {"Authorization": f"Bearer {CORE}"}, 401),
        ("PUT", one, put, {"Authorization": CORE}, 401),
        ("PUT", one, put, {"Idempotency-Key": CORE * 20}, 400),
        ("PUT", one, put, {"X-Something": CORE}, 200),
        ("PUT", f"/v1/secrets/a/{CORE}", put, {}, 400),
        ("PUT", f"{one}?x={CORE}", put, {}, 400),
        ("PATCH", one, put, {}, 200),
        ("PATCH", one, put[:-1], {}, 400),
        ("PATCH", one, f'{{"fields": {{"{CORE}/": "{B64}"}}}}', {}, 400),
        ("PATCH", one, f'{{"fields": {{"value": "{B64}", "b": "{CORE}!"}}}}', {}, 400),
        ("PATCH", one, f'{{"fields": {{"value": "{B64}"}}, "expires_ms": "{CORE}"}}', {}, 400),
        ("PATCH", one, f'{{"fields": {{"value": "{B64}", "gone": null}}}}', {}, 404),
        ("PATCH", f"{one}c", put, {}, 404),
        ("POST", f"{one}/rollback", f'{{"to": "{CORE}"}}', {}, 400),
        ("GET", f"{one}/value?field={CORE}", None, {}, 404),
        ("GET", f"{one}/value?version={CORE}", None, {}, 400),
        ("GET", f"{one}/history?{CORE}=1", None, {}, 400),
        ("POST", f"/v1/{CORE}", put, {}, 404),
        ("POST", f"{one}/grants", json.dumps({"add": [CORE]}), {}, 400),
        ("GET", f"/v1/secrets?prefix={CORE}", None, {}, 200),
        ("GET", f"/v1/secrets?limit={CORE}", None, {}, 400),
        ("GET", f"{one}?consistency={CORE}", None, {}, 400),
        ("DELETE", f"{one}?if_version={CORE}", None, {}, 400),
    ]
    for number, (method, path, body, headers, status) in enumerate(cases):
        connection.request(method, path, body, {**bearer, **headers})
        response = connection.getresponse()
        text = response.read()
        assert response.status == status, (number, method, path, text)
        everything.add(f"answer {number}: {method} {status}", str(response.headers).encode(), text)
    connection.close()


def test_bytes_that_are_no_request(everything, server, tls):
    port = int(server.url.rsplit(":", 1)[1])
    head = b"PUT /v1/secrets/a/b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good-token\r\nContent-Type: application/json\r\n"
    body = json.dumps({"fields": {"value": B64}}).encode()
    cases = [
        CORE.encode() + b"\r\n\r\n",
        head + CORE.encode() + b"\r\n\r\n",
        head + b"Content-Length: " + CORE.encode() + b"\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n" + CORE.encode() + b"\r\n" + body,
        head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + VALUE + body,
        head + b"Content-Length: 9999\r\n\r\n" + body,
        head + b"Content-Length: 5\r\n\r\n" + body,
        b"GET /" + CORE.encode() * 500 + b" HTTP/1.1\r\n\r\n",
    ]
    for number, data in enumerate(cases):
        with (
            socket.create_connection(("localhost", port)) as plain,
            tls.client.wrap_socket(plain, server_hostname="localhost") as one,
        ):
            one.sendall(data)
            if number == 5:
                continue  # the body never comes whole: the client goes away
            one.settimeout(30)
            assert one.recv(65536).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))  # may quote the sender to the sender
    # And not even TLS.
    with socket.create_connection(("localhost", port)) as plain:
        plain.sendall(VALUE * 10)
    connection = http.client.HTTPSConnection("localhost", port, context=tls.client)
    connection.request("GET", "/v1/status", headers={"Authorization": "Bearer good-token"})
    assert connection.getresponse().status == 200
    connection.close()
