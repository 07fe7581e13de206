"""Listening: TLS 1.3 as the context says, oversized headers, garbage, and a planned stop."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest


async def raw(api, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", api.port, ssl=api.session.connector._ssl, server_hostname="localhost"
    )
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(65536), 20)
    writer.close()
    return answer


async def test_older_tls_is_refused(api, tls):
    context = ssl.create_default_context()
    tls.ca.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", api.port, ssl=context, server_hostname="localhost")


@pytest.mark.parametrize(
    "data",
    [
        b"hunter2 value\r\n\r\n",
        b"GET /hunter2\xff HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nhunter2 value\r\n\r\n",
        b"PUT /v1/secrets/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: hunter2\r\n\r\n",
        b"PUT /v1/secrets/a/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        b"GET /" + b"hunter2" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"hunter2" * 5000 + b"\r\n\r\n",
    ],
)
async def test_garbage_is_refused_and_not_logged(api, logged, data):
    answer = await raw(api, data)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert "hunter2" not in "\n".join(logged.lines)
    assert (await api.call("GET", "/v1/status")).status == 200


async def test_a_long_token_fits(api):
    token = "x" * (16 << 10)
    assert (await api.call("GET", "/v1/status", token=token)).code == "token_malformed"


async def test_a_planned_stop_finishes_what_is_in_flight(api):
    api.node.raft.hang = 0.3
    request = asyncio.create_task(api.put("a/b"))
    while not api.node.raft.hanging:
        await asyncio.sleep(0.01)
    await api.server.stop()
    assert (await request).status == 200
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", api.port)


async def test_a_planned_stop_answers_an_open_connection_once_more_and_says_it_is_the_last(api):
    """A client that keeps its connection must not find it closed under a request it has just sent."""
    assert (await api.call("GET", "/v1/status")).headers.get("Connection") != "close"
    stopping = asyncio.ensure_future(api.server.stop())
    await asyncio.sleep(0)
    last = await api.call("GET", "/v1/status")
    assert last.status == 200 and last.headers["Connection"] == "close"
    await stopping
    with pytest.raises(OSError):
        await api.call("GET", "/v1/status")


async def test_a_change_that_lay_unread_while_the_process_was_held_up_is_not_carried_out(api):
    """Its client may have given up on it and written something newer meanwhile."""
    assert (await api.put("demo/db", b"new")).status == 200
    time.sleep(1.2)  # the whole process: nothing is read, no timer runs
    late = await api.put("demo/db", b"old")
    assert (late.status, late.code) == (503, "unavailable") and late.headers["Retry-After"]
    assert (await api.call("GET", "/v1/secrets/demo/db")).json["version"] == 1
    async with asyncio.timeout(30):
        while (await api.put("demo/db", b"newer")).status != 200:
            await asyncio.sleep(0.05)
