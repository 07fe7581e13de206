"""Keys against a real HTTPS issuer: rotation, outages, and everything an issuer's answer may not be."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from node.errors import Fatal, Retry
from node.tokens.keys import EMPTY_EVERY, MAX_DOCUMENT, UNKNOWN_EVERY, KeySet

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_the_published_keys(keys: KeySet, issuer: Any) -> None:
    rsa_key, ec_key = await keys.get("rsa-1"), await keys.get("ec-1")
    assert rsa_key is not None and rsa_key.algorithm == "RS256"
    assert ec_key is not None and ec_key.algorithm == "ES256"
    assert issuer.fetches == 1
    assert issuer.asked == [(DISCOVERY, None), (JWKS, None)]


async def test_rotation_costs_one_fetch_in_ten_seconds(keys: KeySet, issuer: Any, clock: Any, rsa_signer: Any) -> None:
    assert await keys.get("rsa-1")
    clock.monotonic += UNKNOWN_EVERY
    issuer.published = [rsa_signer.jwk(kid="rsa-2")]
    assert await keys.get("rsa-2")
    assert await keys.get("rsa-1") is None, "a withdrawn key is gone with the refresh"
    assert issuer.fetches == 2

    issuer.published = [rsa_signer.jwk(kid="rsa-3")]
    clock.monotonic += UNKNOWN_EVERY * 0.99
    for kid in ("rsa-3", "x", "y"):
        assert await keys.get(kid) is None
    assert issuer.fetches == 2
    clock.monotonic += UNKNOWN_EVERY * 0.02
    assert await keys.get("rsa-3")
    assert issuer.fetches == 3


async def test_many_who_ask_at_once_share_one_fetch(keys: KeySet, issuer: Any) -> None:
    found = await asyncio.gather(*(keys.get("rsa-1") for _ in range(200)), *(keys.get("x") for _ in range(200)))
    assert all(found[:200]) and not any(found[200:])
    assert issuer.fetches == 1


async def test_one_who_gives_up_does_not_end_it_for_the_others(keys: KeySet, issuer: Any, rsa_signer: Any) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        asked.set()
        await go.wait()
        return web.json_response({"keys": [rsa_signer.jwk()]})

    issuer.override[JWKS] = held
    impatient, patient = asyncio.create_task(keys.get("rsa-1")), asyncio.create_task(keys.get("rsa-1"))
    await asked.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    go.set()
    assert await patient


async def test_a_known_key_never_waits_for_the_issuer(keys: KeySet, issuer: Any, clock: Any) -> None:
    assert await keys.get("rsa-1")
    asked, go = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        asked.set()
        await go.wait()
        return web.Response(status=503)

    issuer.override[DISCOVERY] = held
    clock.monotonic += UNKNOWN_EVERY
    unknown = asyncio.create_task(keys.get("x"))
    await asked.wait()
    assert await keys.get("rsa-1")
    assert not unknown.done()
    go.set()
    assert await unknown is None


async def test_old_keys_outlive_the_issuer(keys: KeySet, issuer: Any, clock: Any) -> None:
    assert await keys.get("rsa-1")
    await issuer.down()
    for _ in range(3):
        clock.monotonic += 3600
        assert await keys.get("x") is None
        assert await keys.get("rsa-1")
    await issuer.up()
    issuer.published = issuer.published[:1]
    clock.monotonic += UNKNOWN_EVERY
    assert await keys.get("x") is None
    assert await keys.get("ec-1") is None


async def test_no_keys_at_all(keys: KeySet, issuer: Any, clock: Any) -> None:
    await issuer.down()
    with pytest.raises(Retry) as caught:
        await keys.get("rsa-1")
    assert caught.value.code == "unavailable" and caught.value.hint
    await issuer.up()
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    assert issuer.asked == [], "also then the issuer is not asked by every caller"
    clock.monotonic += EMPTY_EVERY
    assert await keys.get("rsa-1")


async def test_the_loop_fetches_refreshes_and_recovers(issuer: Any, clock: Any, rsa_signer: Any) -> None:
    keys = KeySet(issuer.url, issuer.ca_file, clock, period=0.02)
    await keys.start()
    try:
        await eventually(lambda: issuer.fetches >= 3)
        assert await keys.get("rsa-1")
        issuer.bend(DISCOVERY, status=500)
        before = len(issuer.asked)
        await eventually(lambda: len(issuer.asked) >= before + 3)
        assert await keys.get("rsa-1")
        issuer.override.clear()
        issuer.published = [rsa_signer.jwk(kid="rsa-2")]
        before = issuer.fetches
        await eventually(lambda: issuer.fetches >= before + 2)
        assert await keys.get("rsa-2")
    finally:
        await keys.stop()
    asked = len(issuer.asked)
    assert await keys.get("rsa-2"), "stopping forgets nothing"
    assert await keys.get("x") is None
    await asyncio.sleep(0.1)
    assert len(issuer.asked) == asked


async def test_start_does_not_wait_for_the_issuer(issuer: Any, clock: Any) -> None:
    await issuer.down()
    keys = KeySet(issuer.url, issuer.ca_file, clock)
    await keys.start()
    await issuer.up()
    await keys.stop()


async def test_stop_frees_those_who_wait(keys: KeySet, issuer: Any) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        asked.set()
        await never.wait()
        return web.Response()

    issuer.override[DISCOVERY] = held
    waiting = asyncio.create_task(keys.get("rsa-1"))
    await asked.wait()
    await keys.stop()
    with pytest.raises(Retry):
        await waiting
    never.set()


async def test_a_silent_issuer_is_given_up_on(keys: KeySet, issuer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.tokens.keys.TIMEOUT", 0.2)
    never = asyncio.Event()

    async def held(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    issuer.override[JWKS] = held
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    never.set()


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(keys: KeySet, issuer: Any, path: str, status: int) -> None:
    issuer.bend("/elsewhere", json.dumps({"keys": issuer.published}).encode())
    issuer.bend(path, status=status, Location=issuer.url + "/elsewhere")
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    assert "/elsewhere" not in [asked for asked, _ in issuer.asked]


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 500, 503])
async def test_only_200_counts(keys: KeySet, issuer: Any, status: int) -> None:
    issuer.bend(JWKS, b"" if status == 204 else json.dumps({"keys": issuer.published}).encode(), status)
    with pytest.raises(Retry):
        await keys.get("rsa-1")


@pytest.mark.parametrize("path", [DISCOVERY, JWKS])
@pytest.mark.parametrize("chunked", [False, True])
async def test_size(keys: KeySet, issuer: Any, clock: Any, path: str, chunked: bool) -> None:
    body = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS, "keys": issuer.published}
    room = MAX_DOCUMENT - len(json.dumps({**body, "pad": ""}).encode())

    def answer(pad: int) -> None:
        async def handler(_: web.Request) -> web.Response:
            response = web.Response(body=json.dumps({**body, "pad": "x" * pad}).encode())
            if chunked:
                response.enable_chunked_encoding()
            return response

        issuer.override[path] = handler

    answer(room + 1)
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    answer(room)
    clock.monotonic += EMPTY_EVERY
    assert await keys.get("rsa-1")


async def test_an_answer_without_end_is_cut(keys: KeySet, issuer: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" " * (1 << 14))
            await asyncio.sleep(0)
        return response

    issuer.override[JWKS] = endless
    with caplog.at_level(logging.WARNING, logger="node.tokens"), pytest.raises(Retry):
        await keys.get("rsa-1")
    assert "larger than" in caplog.text, "it was the size that ended it, not the time"


async def test_compressed_answers_are_refused(keys: KeySet, issuer: Any) -> None:
    bomb = gzip.compress(json.dumps({"keys": issuer.published, "pad": " " * (1 << 24)}).encode())
    assert len(bomb) < MAX_DOCUMENT
    issuer.bend(JWKS, bomb, **{"Content-Encoding": "gzip"})
    with pytest.raises(Retry):
        await keys.get("rsa-1")


async def test_a_broken_answer_changes_nothing(keys: KeySet, issuer: Any, clock: Any) -> None:
    assert await keys.get("rsa-1")
    for body in (b"", b"{", b"[]", b'{"keys": []}', b'{"keys": {}}', b'{"keys": [{"kty": "oct", "kid": "x"}]}'):
        issuer.bend(JWKS, body)
        clock.monotonic += UNKNOWN_EVERY
        assert await keys.get("x") is None
        assert await keys.get("rsa-1")


async def test_the_document_of_another_issuer(keys: KeySet, issuer: Any) -> None:
    issuer.bend(DISCOVERY, json.dumps({"issuer": "https://other", "jwks_uri": issuer.url + JWKS}).encode())
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    assert issuer.fetches == 0


async def test_plain_http_is_not_spoken(keys: KeySet, issuer: Any, clock: Any) -> None:
    for url in ("http://127.0.0.1:8000", "file:///keys", "kubernetes.default.svc", "https://", "https://user@host", ""):
        with pytest.raises(Fatal):
            KeySet(url, issuer.ca_file, clock)
    plain = issuer.url.replace("https", "http") + JWKS
    issuer.bend(DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": plain}).encode())
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    assert issuer.fetches == 0


async def test_the_wrong_ca(issuer: Any, clock: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    for ca_file in (other, None):
        keys = KeySet(issuer.url, ca_file, clock)
        with caplog.at_level(logging.WARNING), pytest.raises(Retry):
            await keys.get("rsa-1")
        assert "certificate" in caplog.text.lower(), "the log says why"
        caplog.clear()
    assert issuer.asked == []


async def test_a_certificate_for_another_name(issuer: Any, clock: Any) -> None:
    keys = KeySet(issuer.url.replace("127.0.0.1", "localhost"), issuer.ca_file, clock)
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    assert issuer.asked == []


async def test_the_ca_file_is_read_again(issuer: Any, clock: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    keys = KeySet(issuer.url, bundle, clock)
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    bundle.write_bytes(issuer.ca_file.read_bytes())
    clock.monotonic += EMPTY_EVERY
    assert await keys.get("rsa-1")
    bundle.unlink()
    clock.monotonic += UNKNOWN_EVERY
    assert await keys.get("x") is None
    assert await keys.get("rsa-1")


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
async def test_a_ca_file_that_cannot_be_used(issuer: Any, clock: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fatal) as caught:
        await KeySet(issuer.url, path, clock).start()
    assert str(path) in caught.value.message and "SAFE_ISSUER_CA" in caught.value.hint


async def test_the_nodes_own_token_is_sent_and_read_again(issuer: Any, clock: Any, tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("first.of.mine\n")
    keys = KeySet(issuer.url, issuer.ca_file, clock, own)
    assert await keys.get("rsa-1")
    assert issuer.asked == [(DISCOVERY, "Bearer first.of.mine"), (JWKS, "Bearer first.of.mine")]
    own.write_text("second.of.mine")
    clock.monotonic += UNKNOWN_EVERY
    assert await keys.get("x") is None
    assert issuer.asked[-1] == (JWKS, "Bearer second.of.mine")


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"sp ace", b"\xc3\xa9", b"x" * 20_000, None])
async def test_a_token_file_that_holds_no_token(
    issuer: Any, clock: Any, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "token"
    if content is not None:
        own.write_bytes(content)
    with caplog.at_level(logging.DEBUG), pytest.raises(Retry):
        await KeySet(issuer.url, issuer.ca_file, clock, own).get("rsa-1")
    assert issuer.asked == []
    assert "lines" not in caplog.text and "ace" not in caplog.text.replace("traceback", "")


async def test_the_nodes_token_goes_to_the_cas_hosts_only(
    issuer: Any, clock: Any, authority: tuple[trustme.CA, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another port stands for another host: an API server publishes its keys under an address of its own."""
    second = type(issuer)(*authority)
    second.published = issuer.published
    await second.up()
    own = tmp_path / "token"
    own.write_text("mine")
    issuer.bend(DISCOVERY, json.dumps({"issuer": issuer.url, "jwks_uri": second.url + JWKS}).encode())
    try:
        assert await KeySet(issuer.url, issuer.ca_file, clock, own).get("rsa-1")
        assert second.asked == [(JWKS, "Bearer mine")]
        monkeypatch.setenv("SSL_CERT_FILE", str(issuer.ca_file))  # the system's CAs, for the system of this test
        assert await KeySet(issuer.url, None, clock, own).get("rsa-1")
        assert second.asked[-1] == (JWKS, None)
        assert issuer.asked[-1] == (DISCOVERY, "Bearer mine")
    finally:
        await second.down()


async def test_a_slash_at_the_end_of_the_issuer(issuer: Any, clock: Any) -> None:
    name = issuer.url + "/"
    issuer.bend(DISCOVERY, json.dumps({"issuer": name, "jwks_uri": issuer.url + JWKS}).encode())
    assert await KeySet(name, issuer.ca_file, clock).get("rsa-1")


async def test_the_log_tells_changes_only(
    keys: KeySet, issuer: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="node.tokens"):
        await keys.get("rsa-1")
        issuer.bend(JWKS, status=503)
        for _ in range(5):
            clock.monotonic += UNKNOWN_EVERY
            await keys.get("x")
        issuer.override.clear()
        clock.monotonic += UNKNOWN_EVERY
        await keys.get("x")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert "503" in caplog.text


async def test_keys_are_believed_for_so_long_only(issuer: Any, clock: Any) -> None:
    keys = KeySet(issuer.url, issuer.ca_file, clock, max_age=3600.0)
    assert await keys.get("rsa-1") is not None
    await issuer.down()
    clock.monotonic += 3599
    assert await keys.get("rsa-1") is not None
    clock.monotonic += 2
    with pytest.raises(Retry):
        await keys.get("rsa-1")
    await issuer.up()
    clock.monotonic += EMPTY_EVERY
    assert await keys.get("rsa-1") is not None
    await keys.stop()


async def test_each_fetch_that_works_makes_them_young(issuer: Any, clock: Any) -> None:
    keys = KeySet(issuer.url, issuer.ca_file, clock, max_age=3600.0)
    for _ in range(3):
        assert await keys.get("rsa-1") is not None
        clock.monotonic += 2000
        await keys.get("unknown")  # has it fetch
    await issuer.down()
    assert await keys.get("rsa-1") is not None
    await keys.stop()
