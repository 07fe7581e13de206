from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import msgpack
import pytest
import uvloop

from node.errors import Retry
from sidecar.wire import messages as m

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "wire_v1.json").read_text())
PING, SYNC = 8, 20


@pytest.fixture(params=["uvloop", "asyncio"])
def event_loop_policy(request):
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


# -- delivering --------------------------------------------------------------------------------------------------------


async def test_delivers_the_set_then_changes_then_removals(site):
    site.put("shop/db", b"one", grants=("shop/web",))
    site.put("shop/other", b"no", grants=("shop/worker",))
    client = await site.join()
    await client.until(lambda: client.full)
    assert client.values() == {"shop/db": b"one"}
    assert (client.welcome.node, client.welcome.index, client.welcome.stale) == ("safe-0", 3, False)
    site.put("shop/db", b"two")
    await client.until(lambda: client.values() == {"shop/db": b"two"})
    site.put("shop/db", grants=())
    await client.until(lambda: client.values() == {})


async def test_large_values_arrive_whole(site):
    values = {f"shop/s{i}": bytes([i]) * (1 << 20) for i in range(12)}
    for name, value in values.items():
        site.put(name, value, grants=("shop/web",))
    client = await site.join()
    await client.until(lambda: client.full)
    assert client.values() == values and client.syncs == 1


async def test_resumes_with_what_is_new(site):
    site.put("shop/a", b"1", grants=("shop/web",))
    site.put("shop/b", b"1", grants=("shop/web",))
    client = await site.join(have={"shop/a": 1, "shop/gone": 4}, index=3)
    await client.until(lambda: client.full)
    named = [message.name for message in client.messages if isinstance(message, m.Secret | m.Gone)]
    assert sorted(named) == ["shop/b", "shop/gone"]


async def test_validity_takes_effect_on_an_open_stream(site):
    soon = site.clock.wall_ms() + 300
    site.put("shop/db", b"1", grants=("shop/web",), not_before_ms=soon, expires_ms=soon + 60_000)
    client = await site.join()
    await client.until(lambda: client.full)
    assert client.values() == {}
    await client.until(lambda: client.values() == {"shop/db": b"1"})
    site.clock.ahead_ms = 120_000
    await client.until(lambda: client.values() == {})


async def test_two_hundred_sidecars_and_one_encoding(start_site, eventually):
    site = await start_site(silent=100)
    site.put("shop/db", b"1", grants=("*/*",))
    clients = await asyncio.gather(*(site.join(f"ns{i % 20}/web", pod=f"pod-{i}") for i in range(200)))
    for client in clients:
        await client.until(lambda client=client: client.full)
        client.send(client.protocol.send_receipt(m.Receipt(2, client.versions(), "", 1)))
    site.put("shop/db", b"2")
    for client in clients:
        await client.until(lambda client=client: client.values() == {"shop/db": b"2"})
    assert site.world.opener.opened == ["shop/db", "shop/db"]
    await eventually(lambda: all(receipt.placed == {"shop/db": 1} for receipt in site.server.receipts()))
    assert len(site.server.receipts()) == 200 and site.server.stats()["subscribers"] == 200


async def test_a_slow_reader_is_resynchronised_and_holds_up_nobody(start_site):
    site = await start_site(queue_limit=256 << 10)
    site.put("shop/counter", b"0", grants=("shop/web",))
    slow, quick = await site.join(), await site.join()
    await slow.until(lambda: slow.full)
    await quick.until(lambda: quick.full)
    slow.deaf = True
    site.put("shop/wake", b"w", grants=("shop/web",))  # its reader returns once more, and stops
    await quick.until(lambda: "shop/wake" in quick.held)
    (connection,) = [c for c in site.server._roster.subscribed.values() if c.pod == f"pod-{id(slow)}"]
    version = stuck = 0
    while stuck < 100:  # rounds in a row without room; how much the kernel takes before that differs
        version += 1
        assert version < 5000, "it is never without room"
        site.put("shop/counter", b"%d" % version + b"." * 100_000)
        await asyncio.sleep(0)
        stuck = stuck + 1 if connection.waiting else 0
        assert connection.waiting <= 256 << 10
    newest = {"shop/counter": site.source.get("shop/counter").version}
    site.put("shop/wake", grants=())
    await quick.until(lambda: quick.versions() == newest)
    assert site.server.stats()["blocked"] > 0
    before = site.server.stats()["secrets_sent"]
    slow.listen()
    await slow.until(lambda: slow.versions() == newest)
    assert site.server.stats()["secrets_sent"] - before < 20, "what it missed in between is not sent"


async def test_stale_is_told_by_the_wiring_and_by_the_timer(site):
    client = await site.join()
    await client.until(lambda: client.full)
    assert client.stale is False
    site.is_stale = True
    site.server.set_stale(True)
    await client.until(lambda: client.stale is True)
    site.is_stale = False
    await client.until(lambda: client.stale is False)


async def test_one_unreadable_value_is_named_in_the_log_and_holds_up_nobody(site, caplog):
    site.world.opener.broken.add("shop/bad")
    site.put("shop/bad", b"hunter2", grants=("shop/web",))
    site.put("shop/good", b"1", grants=("shop/web",))
    client = await site.join()
    await client.until(lambda: client.full)
    assert client.values() == {"shop/good": b"1"}
    assert [message.code for message in client.messages if isinstance(message, m.Denied)] == ["sealed"]
    assert "shop/bad" in caplog.text and "hunter2" not in caplog.text
    assert site.server.stats()["sealed"] == 1


async def test_receipts_name_the_verified_pod(site, eventually):
    client = await site.join("shop/web/web-7", pod="says-something-else")
    await client.until(lambda: client.full)
    client.send(client.protocol.send_receipt(m.Receipt(1, {}, "no_space", 5)))
    await eventually(lambda: site.server.receipts()[0].error == "no_space")
    (receipt,) = site.server.receipts()
    assert (receipt.pod, receipt.namespace, receipt.serviceaccount, receipt.agent) == ("web-7", "shop", "web", "test/1")
    client.close()
    await eventually(lambda: not site.server.receipts()[0].connected)


def in_frames(names):
    """What the code of wire version 1 wrote, byte for byte."""
    return [bytes.fromhex(text) for key, text in VECTORS["client"].items() if key in names]


async def test_an_old_sidecar_is_served(site, eventually):
    """Version 1 as frozen bytes over real TLS: no code of today is on that end."""
    site.put("shop/db", b"one", grants=("shop/web",))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", site.server.port, ssl=site.client_context, server_hostname="127.0.0.1"
    )
    writer.writelines(in_frames(("HELLO",)))

    async def frame():
        """The next one that is no PING, which may come at any time; None at the end of the stream."""
        while size := await reader.read(4):
            size += await reader.readexactly(4 - len(size)) if len(size) < 4 else b""
            kind, body = msgpack.unpackb(await reader.readexactly(int.from_bytes(size, "big")))
            if kind != PING:
                return kind, body
        return None

    frames = [await frame()]
    while frames[-1][0] != SYNC:
        frames.append(await frame())
    (_, welcome), (_, secret), _ = frames
    assert set(welcome) == {"version", "node", "index", "heartbeat_ms", "stale"} and welcome["version"] == 1
    assert secret["fields"] == {"value": b"one"}
    writer.writelines(in_frames(("RECEIPT",)))
    await eventually(lambda: site.server.receipts()[0].at_ms)
    (receipt,) = site.server.receipts()
    assert (receipt.placed, receipt.report) == ({"shop/db": 1}, None)
    writer.writelines(in_frames(("BYE",)))
    assert await frame() is None
    writer.close()


async def test_a_new_sidecar_says_how_it_fares(site, eventually):
    client = await site.join()
    await client.until(lambda: client.full)
    assert (client.welcome.version, client.welcome.cluster) == (2, "test")
    told = m.Report("app.env: no field `user`", "", 3, 0, 0)
    client.send(client.protocol.send_receipt(m.Receipt(1, {}, "", 5, told)))
    await eventually(lambda: site.server.receipts()[0].report == told)


# -- refusing ----------------------------------------------------------------------------------------------------------

TOKEN_CODES = ("malformed", "expired", "not_yet_valid", "audience", "issuer", "signature", "key_unknown", "subject")


@pytest.mark.parametrize("code", [f"token_{word}" for word in TOKEN_CODES])
async def test_a_bad_token_gets_its_own_code_and_an_audit_line(site, audit_lines, code, eventually):
    client = await site.join(code)
    await client.until(lambda: client.ended)
    assert (client.refused.code, client.refused.hint, client.refused.retry_ms) == (code, "get another one", 0)
    (line,) = audit_lines()
    assert line["event"] == "delivery.refused" and line["code"] == code and line["peer"] == "127.0.0.1"
    await eventually(lambda: site.server.stats()["connections"] == 0)


async def test_a_wanted_secret_that_is_not_granted_is_audited_by_name(site, audit_lines):
    site.put("shop/db", b"hunter2", grants=("shop/worker",))
    client = await site.join("shop/web/web-1", want=("shop/db",))
    await client.until(lambda: client.full)
    (line,) = audit_lines()
    assert (line["event"], line["secret"], line["code"]) == ("delivery.withheld", "shop/db", "not_granted")
    assert (line["namespace"], line["serviceaccount"], line["pod"]) == ("shop", "web", "web-1")


async def test_keys_that_cannot_be_had_mean_come_back_later(site):
    async def no_keys(token):
        raise Retry("the issuer does not answer", after=0.2)

    site.verifying = no_keys
    client = await site.join()
    await client.until(lambda: client.ended)
    assert client.refused.code == "unavailable" and 100 <= client.refused.retry_ms <= 300


async def test_a_verifier_that_hangs_or_breaks_is_cut_off(start_site, caplog):
    site = await start_site(verifying=0.2)

    async def hangs(token):
        await asyncio.sleep(3600)

    async def breaks(token):
        raise RuntimeError(f"oops {token}")

    for verifying in (hangs, breaks):
        site.verifying = verifying
        client = await site.join("tok/en")
        await client.until(lambda client=client: client.ended)
        assert client.refused.code == "unavailable" and "tok/en" not in client.refused.message
    assert "tok/en" not in caplog.text


async def test_no_common_version(site):
    client = await site.join(versions=(77,))
    await client.until(lambda: client.ended)
    assert client.refused.code == "version"


async def test_a_sidecar_ahead_of_this_node_waits_for_the_log(site):
    client = await site.join(index=3)
    await asyncio.sleep(0.05)
    assert client.welcome is None
    site.put("shop/a", b"1", grants=("shop/web",))
    site.put("shop/a", b"2")
    async with site.applied:
        site.applied.notify_all()
    await client.until(lambda: client.full)
    assert client.welcome.index == 3 and client.versions() == {"shop/a": 2}


async def test_a_sidecar_too_far_ahead_is_sent_elsewhere(site):
    client = await site.join(index=1_000_000)
    await client.until(lambda: client.ended)
    assert client.refused.code == "behind" and client.refused.retry_ms > 0
    assert "behind" in client.refused.message and "recreate the pod" in client.refused.hint


async def test_a_sidecar_that_has_seen_more_than_the_store_has_is_shown_and_holds_the_rollout_up(site, eventually):
    """After a restore: it is refused for ever, and was to be seen nowhere."""
    site.put("shop/db", b"1", grants=("shop/web",))
    client = await site.join("shop/web/p", index=1_000_000, have={"shop/db": 4}, want=("shop/db",))
    await client.until(lambda: client.ended)
    (receipt,) = site.server.receipts()
    assert (receipt.pod, receipt.connected, receipt.error, receipt.index) == ("p", False, "behind", 1_000_000)
    (standing,) = [one async for one in site.server.rollout(site.source.get("shop/db"))]
    assert (standing.reason, standing.counts, standing.version) == ("ahead", True, 4) and "1000000" in standing.detail
    assert site.server.stats()["behind"] == 1
    site.is_stale = True
    client = await site.join("shop/web/q", index=1_000_000)
    await client.until(lambda: client.ended)
    assert client.refused.code == "unavailable", "the majority may know what this node does not"
    site.is_stale = False
    back = await site.join("shop/web/p", index=1)
    await back.until(lambda: back.full)
    await eventually(lambda: all(one.connected for one in site.server.receipts()))


async def test_the_files_of_another_store_count_for_nothing(site, eventually):
    site.store = "two"
    site.put("shop/db", b"new", grants=("shop/web",))
    client = await site.join(index=1_000_000, have={"shop/db": 4, "shop/former": 1}, store="one")
    await client.until(lambda: client.full)
    assert client.welcome.store == "two" and client.values() == {"shop/db": b"new"}
    assert not [message for message in client.messages if isinstance(message, m.Gone)]
    assert site.server.receipts()[0].placed == {} and site.server.stats()["foreign"] == 1
    same = await site.join(have={"shop/db": 1}, store="two")
    await same.until(lambda: same.full)
    assert same.values() == {}


async def test_a_node_that_knows_nothing_answers_nobody(start_site):
    site = await start_site(index=0)
    client = await site.join()
    await client.until(lambda: client.ended)
    assert client.refused.code == "unavailable" and client.welcome is None


async def test_a_node_that_has_just_started_hears_from_the_majority_first(start_site):
    site = await start_site(settling=60.0)
    site.is_stale = True
    client = await site.join()
    await asyncio.sleep(0.3)
    assert client.welcome is None
    site.is_stale = False
    await client.until(lambda: client.full)
    assert client.stale is False


async def test_full_house(start_site, eventually):
    site = await start_site(connections=3)
    guests = [await site.join(pod=f"p{i}") for i in range(3)]
    for guest in guests:
        await guest.until(lambda guest=guest: guest.full)
    late = await site.client().dial()
    await late.until(lambda: late.ended)
    assert late.refused.code == "unavailable" and late.refused.retry_ms > 0
    guests[0].close()
    await eventually(lambda: site.server.stats()["connections"] == 2)
    again = await site.join(pod="p9")
    await again.until(lambda: again.full)


async def test_one_pod_cannot_take_every_place(start_site):
    site = await start_site(per_pod=2)
    for instance in "ab":
        client = await site.join("shop/web/p", instance=instance)
        await client.until(lambda client=client: client.full)
    third = await site.join("shop/web/p", instance="c")
    await third.until(lambda: third.ended)
    assert third.refused.code == "too_many_requests"
    other = await site.join("shop/web/q")
    await other.until(lambda: other.full)


async def test_strangers_may_not_fill_the_memory(start_site, eventually):
    site = await start_site(greeting_bytes=200_000, greeting=60.0)
    clients = [await site.client().dial() for _ in range(3)]
    for client in clients:
        client.send((1_000_000).to_bytes(4, "big") + b"x" * 150_000)
    await eventually(lambda: any(client.refused for client in clients))
    assert {client.refused.code for client in clients if client.refused} == {"unavailable"}
    await eventually(lambda: site.server._roster.greeting_bytes <= 200_000)
    for client in clients:
        client.close()
    await eventually(lambda: site.server._roster.greeting_bytes == 0 and not site.server._roster.greeting)


async def test_what_is_not_our_protocol_is_cut_off(site):
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", m.pack(m.Bye()), b"\x00\x00\x00\x00", m.pack(m.Ping(1))):
        client = await site.client().dial()
        client.send(garbage)
        await client.until(lambda client=client: client.ended)
        assert client.refused is None
    assert site.server.stats()["broken"] == 4


async def test_a_client_that_talks_too_much_is_closed(site):
    client = await site.join()
    await client.until(lambda: client.full)
    client.send(b"".join(client.protocol.send_ping(m.Ping(n)) for n in range(20_000)))
    await client.until(lambda: client.ended)
    assert client.refused is None or client.refused.code == "too_many_requests"
    assert site.server.stats()["subscribers"] == 0


async def test_only_tls_is_answered_and_the_handshake_does_not_block_others(site, eventually):
    plain = [await asyncio.open_connection("127.0.0.1", site.server.port) for _ in range(100)]
    client = await site.join()
    await client.until(lambda: client.full)
    plain[0][1].write(b"hello?\r\n" * 100)
    assert await plain[0][0].read() == b"" or True
    await eventually(lambda: site.server.stats()["handshakes_failed"] >= 1)
    for _, writer in plain:
        writer.close()


async def test_tls_before_1_3_is_refused(site, contexts):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection("127.0.0.1", site.server.port, ssl=old)


# -- staying -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["shop/worker/a", "other/web/a", "shop/web/b"])
async def test_renewal_by_another_identity_ends_the_stream(site, token):
    client = await site.join("shop/web/a")
    await client.until(lambda: client.full)
    client.send(client.protocol.send_token(m.Token(token)))
    await client.until(lambda: client.ended)
    assert client.refused.code == "token_subject"


async def test_renewal_with_a_bad_token_ends_the_stream_but_not_while_keys_are_away(site):
    client = await site.join("shop/web/a")
    await client.until(lambda: client.full)

    async def no_keys(token):
        raise Retry("the issuer does not answer")

    site.verifying = no_keys
    client.send(client.protocol.send_token(m.Token("shop/web/a")))
    site.put("shop/a", b"1", grants=("shop/web",))
    await client.until(lambda: client.held)
    site.verifying = site.verify
    client.send(client.protocol.send_token(m.Token("token_signature")))
    await client.until(lambda: client.ended)
    assert client.refused.code == "token_signature"


async def test_bye_ends_it(site, eventually):
    client = await site.join()
    await client.until(lambda: client.full)
    client.send(client.protocol.send_bye())
    await client.until(lambda: client.ended)
    await eventually(lambda: site.server.stats()["connections"] == 0)


async def test_dialling_again_takes_the_former_place(site, eventually):
    first = await site.join("shop/web/a", instance="x")
    await first.until(lambda: first.full)
    second = await site.join("shop/web/a", instance="x")
    await second.until(lambda: second.full)
    await first.until(lambda: first.ended)
    await eventually(lambda: site.server.stats()["connections"] == 1)
    site.put("shop/a", b"1", grants=("shop/web",))
    await second.until(lambda: second.held)
    assert [receipt.connected for receipt in site.server.receipts()] == [True]


# -- stopping ----------------------------------------------------------------------------------------------------------


async def test_drain_sends_everybody_away_and_takes_nobody(site):
    clients = [await site.join(pod=f"p{i}") for i in range(20)]
    for client in clients:
        await client.until(lambda client=client: client.full)
    port = site.server.port
    assert await site.server.drain("a planned stop", timeout=20.0) == 0
    for client in clients:
        await client.until(lambda client=client: client.ended)
        assert client.goaway.reason == "a planned stop" and client.goaway.avoid_ms > 0
    assert site.server.stats()["connections"] == 0
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_drain_serves_those_it_has_not_sent_away_yet(site, monkeypatch, eventually):
    monkeypatch.setattr("node.delivery.server.DRAIN_AT_ONCE", 2)
    monkeypatch.setattr("node.delivery.server.DRAIN_RATE", 4)
    clients = [await site.join(pod=f"p{i}") for i in range(6)]
    for client in clients:
        await client.until(lambda client=client: client.full)
    draining = asyncio.create_task(site.server.drain("stop", timeout=20.0))
    await eventually(lambda: sum(client.goaway is not None for client in clients) == 2)
    site.put("shop/db", b"late", grants=("shop/web",))
    waiting = [client for client in clients if client.goaway is None]
    await asyncio.gather(*(client.until(lambda client=client: client.held) for client in waiting[2:]))
    assert await draining == 0 and all(client.goaway for client in clients)


async def test_drain_does_not_wait_for_ever(start_site, eventually):
    site = await start_site(heartbeat=30.0)
    client = await site.join()
    await client.until(lambda: client.full)
    client.deaf = True
    for i in range(24):
        site.put(f"shop/s{i}", b"x" * (1 << 20), grants=("shop/web",))
    await eventually(lambda: any(c.waiting for c in site.server._roster.subscribed.values()))
    assert await site.server.drain("stop", timeout=0.3) == 1
    await eventually(lambda: site.server.stats()["connections"] == 0)


async def test_drain_answers_those_who_are_being_greeted(site, eventually):
    async def hangs(token):
        await asyncio.sleep(3600)

    site.verifying = hangs
    client = await site.join()
    await eventually(lambda: site.server.stats()["connections"] == 1)
    await site.server.drain("stop", timeout=20.0)
    await client.until(lambda: client.ended)
    assert client.refused.code == "unavailable"


async def test_close_without_drain(site):
    client = await site.join()
    await client.until(lambda: client.full)
    await site.server.close()
    await client.until(lambda: client.ended)
    assert site.server.stats()["connections"] == 0
    await site.server.close()
