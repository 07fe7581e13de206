"""How much is taken on at once."""

from __future__ import annotations

import asyncio
import json

import pytest

from node.admin import limits
from node.admin.bodies import MAX_BODY
from node.admin.rates import Rates
from node.errors import Retry


def test_requests_at_once():
    held = limits.Limits()
    for _ in range(limits.MAX_REQUESTS):
        held.enter()
    with pytest.raises(Retry) as caught:
        held.enter()
    assert caught.value.code == "too_many_requests"
    held.leave()
    held.enter()


async def send_head(api, size: int | None):
    """An authorised PUT whose body is announced and not sent."""
    import ssl

    reader, writer = await asyncio.open_connection(
        "127.0.0.1", api.port, ssl=api.session.connector._ssl, server_hostname="localhost"
    )
    assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    head = (
        "PUT /v1/secrets/a/b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
        f"Content-Type: application/json\r\n{length}\r\n\r\n"
    )
    writer.write(head.encode())
    await writer.drain()
    return reader, writer


async def status_of(reader) -> int:
    return int((await reader.readline()).split()[1])


async def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(api):
    reader, writer = await send_head(api, MAX_BODY + 1)
    assert await status_of(reader) == 413
    writer.close()


async def test_a_body_without_a_length_is_counted_while_it_comes(api):
    reader, writer = await send_head(api, None)
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(MAX_BODY // 0x10000 + 1):
        writer.write(chunk)
    assert await status_of(reader) == 413
    writer.close()


async def test_bodies_at_once(api):
    """Enough announced bodies fill the budget; the next is told to wait, and it is given back when they are gone."""
    waiting = [await send_head(api, MAX_BODY) for _ in range(limits.MAX_BODIES // MAX_BODY)]
    body = {"fields": {"value": ""}}

    async def until(status: int) -> None:
        while (await api.call("PUT", "/v1/secrets/a/c", body)).status != status:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until(429), 20)
    assert (await api.call("GET", "/v1/secrets")).status == 200
    for _, writer in waiting:
        writer.close()
    await asyncio.wait_for(until(200), 20)


async def test_what_a_refused_body_reserved_is_given_back(api):
    for _ in range(3 * limits.MAX_BODIES // MAX_BODY):
        answer = await api.call("PUT", "/v1/secrets/a/b", b"x" * MAX_BODY)
        assert answer.code == "invalid"
    assert (await api.call("PUT", "/v1/secrets/a/b", json.dumps({"fields": {"value": ""}}).encode())).status == 200


async def test_what_takes_long_to_parse_is_charged_for(api, monkeypatch):
    """2 MiB of empty lists take a thousand times as long as one value of that size."""
    charged = []
    monkeypatch.setattr(Rates, "charge", lambda self, identity, tokens: charged.append(tokens))
    assert (await api.put("a/large", b"v" * (1 << 20))).status == 200
    assert sum(charged) == 1
    charged.clear()
    await api.call("POST", "/v1/apply", b'{"secrets": [%s[]]}' % (b"[]," * 650_000), token="workload-token")
    assert sum(charged) > 2000
