from __future__ import annotations

import asyncio

import pytest
import uvloop

from sidecar.wire import messages as m


@pytest.fixture(params=["uvloop", "asyncio"])
def event_loop_policy(request):
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


async def test_heartbeats_keep_an_idle_stream(start_site):
    site = await start_site(heartbeat=0.2, silent=100)
    client = await site.join()
    await client.until(lambda: sum(isinstance(message, m.Ping) for message in client.messages) >= 5)
    assert not client.ended
    client.send(client.protocol.send_ping(m.Ping(42)))
    await client.until(lambda: m.Pong(42) in client.messages)


async def test_a_silent_sidecar_is_dropped(start_site, eventually):
    site = await start_site(heartbeat=0.2, silent=3)
    client = await site.join()
    await client.until(lambda: client.full)
    client.deaf = True
    await eventually(lambda: site.server.stats()["silent"] == 1)
    await eventually(lambda: site.server.stats()["connections"] == 0)


async def test_a_node_that_was_suspended_does_not_blame_its_sidecars(start_site):
    site = await start_site(heartbeat=0.4, silent=10)
    client = await site.join()
    await client.until(lambda: client.full)
    real = site.clock.now
    site.clock.now = lambda: real() + 100.0
    before = len(client.messages)
    await client.until(lambda: len(client.messages) >= before + 6)
    assert site.server.stats()["silent"] == 0 and not client.ended


async def test_token_expiry_ends_the_stream_unless_renewed(start_site, audit_lines, eventually):
    site = await start_site(heartbeat=0.4, silent=100)
    site.expires_in = 60.0
    renewing, lazy = await site.join("shop/web/a"), await site.join("shop/web/b")
    await renewing.until(lambda: renewing.full)
    await lazy.until(lambda: lazy.full)
    site.expires_in = 3600.0
    renewing.send(renewing.protocol.send_token(m.Token("shop/web/a")))
    await eventually(lambda: site.server.stats()["renewed"] == 1)
    site.clock.ahead_ms = 120_000
    await lazy.until(lambda: lazy.ended)
    assert lazy.refused.code == "token_expired" and not renewing.ended
    assert [(line["code"], line["pod"]) for line in audit_lines()] == [("token_expired", "b")]
    site.clock.ahead_ms = 7_200_000
    await renewing.until(lambda: renewing.ended)


async def test_a_revoked_token_ends_its_stream_and_no_other(site, start_site, audit_lines):
    site = await start_site(heartbeat=0.2)
    first, second = await site.join("shop/web/a"), await site.join("shop/web/b")
    site.dead = {"shop/web/a shop/web"}
    await first.until(lambda: first.ended)
    assert first.refused.code == "token_revoked" and first.refused.hint
    assert [(line["code"], line["pod"]) for line in audit_lines()] == [("token_revoked", "a")]
    await second.until(lambda: second.full)
    second.send(second.protocol.send_token(m.Token("shop/web/b/renewed")))
    await second.until(lambda: site.server.counters["renewed"] == 1)
    site.dead = {"shop/web/b shop/web"}  # the one it began with; its pod has got another
    await asyncio.sleep(0.5)
    assert not second.ended


async def test_silence_before_hello_has_a_deadline(start_site):
    site = await start_site(greeting=0.3)
    client = await site.client().dial()
    await client.until(lambda: client.ended)
    assert client.refused.code == "unauthenticated"
