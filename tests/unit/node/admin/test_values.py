"""Patches that lose nobody's update, and values read back: over HTTPS against a real store and keyring."""

from __future__ import annotations

import base64
import os

import msgpack
import pytest

LATER = 4_000_000_000_000
PATH = "/v1/secrets/a/b"


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def put(api, fields: dict[str, bytes], **more):
    body = {"fields": {name: b64(value) for name, value in fields.items()}, **more}
    answer = await api.call("PUT", PATH, body)
    assert answer.status == 200, answer.body
    return answer.json


async def patch(api, fields: dict[str, bytes | None], *, key: str | None = None, **more):
    body = {"fields": {name: None if value is None else b64(value) for name, value in fields.items()}, **more}
    return await api.call("PATCH", PATH, body, **({"Idempotency_Key": key} if key else {}))


def before_each_proposal(api, *others):
    """Each of `others` is awaited once, before the next proposal of a patch reaches the log: somebody was faster."""
    waiting, propose, busy = list(others), api.node.raft.propose, []

    async def proposing(command, timeout):
        if waiting and not busy:
            busy.append(True)
            await waiting.pop(0)()
            busy.clear()
        return await propose(command, timeout)

    api.node.raft.propose = proposing


async def test_a_patch_changes_what_it_names_and_nothing_else(api):
    await put(
        api, {"user": b"me", "password": b"old", "extra": b"x"}, grants=["a/x"], not_before_ms=5, expires_ms=LATER
    )
    answer = await patch(api, {"password": b"new", "extra": None, "more": b""})
    assert answer.json == {"name": "a/b", "version": 2, "index": api.node.raft.index}
    assert api.node.value("a/b") == {"user": b"me", "password": b"new", "more": b""}
    record = api.node.store.get("a/b")
    assert (record.grants, record.not_before_ms, record.expires_ms) == (("a/x",), 5, LATER)
    assert dict(record.fields) == {"user": 2, "password": 3, "more": 0}


async def test_no_value_leaves_and_none_is_proposed(api, logged):
    secret, new = os.urandom(16), os.urandom(16)
    await put(api, {"one": secret, "two": b"x"})
    answer = await patch(api, {"two": new})
    said = answer.body + api.node.raft.proposed[-1] + "".join(logged.lines).encode()
    for value in (secret, new):
        assert value not in said and b64(value).encode() not in said and value.hex().encode() not in said
    assert msgpack.unpackb(api.node.raft.proposed[-1])["if_version"] == 1


async def test_a_patch_that_loses_against_another_writer_begins_again(api):
    await put(api, {"one": b"1", "two": b"2"})
    others = [lambda number=number: patch(api, {f"new{number}": b"n"}) for number in range(3)]
    before_each_proposal(api, *others)
    answer = await patch(api, {"one": b"changed"})
    assert answer.status == 200 and answer.json["version"] == 5
    assert api.node.value("a/b") == {"one": b"changed", "two": b"2", "new0": b"n", "new1": b"n", "new2": b"n"}


async def test_it_gives_up_in_the_end(api):
    await put(api, {"one": b"1"})
    before_each_proposal(api, *[lambda: put(api, {"one": b"other"}) for _ in range(20)])
    answer = await patch(api, {"one": b"mine"})
    assert (answer.status, answer.code) == (503, "unavailable") and answer.json["hint"]
    assert api.node.value("a/b") == {"one": b"other"}


async def test_a_repeat_is_answered_alike_also_when_a_try_was_lost(api):
    await put(api, {"one": b"1", "two": b"2"})
    before_each_proposal(api, lambda: patch(api, {"two": b"other"}))
    first = await patch(api, {"one": None}, key="k")
    assert first.json["version"] == 3
    await patch(api, {"three": b"3"})
    again = await patch(api, {"one": None}, key="k")
    assert again.json == first.json and api.node.store.get("a/b").version == 4
    await api.call("POST", f"{PATH}/purge")
    assert (await patch(api, {"one": None}, key="k")).json == first.json


async def test_with_a_version_named_there_is_one_try(api):
    await put(api, {"one": b"1"})
    assert (await patch(api, {"one": b"2"}, if_version=1)).json["version"] == 2
    answer = await patch(api, {"one": b"3"}, if_version=1)
    assert (answer.status, answer.code) == (409, "conflict") and "version 2" in answer.json["detail"]
    before_each_proposal(api, lambda: put(api, {"one": b"other"}))
    assert (await patch(api, {"one": b"3"}, if_version=2)).code == "conflict"
    assert api.node.value("a/b") == {"one": b"other"}


async def test_the_window_alone_makes_no_version(api):
    await put(api, {"one": b"1"}, not_before_ms=5, expires_ms=LATER)
    answer = await api.call("PATCH", PATH, {"expires_ms": 20})
    assert answer.json["version"] == 1
    assert (await api.call("PATCH", PATH, {"not_before_ms": None, "if_version": 2})).code == "conflict"
    assert (await api.call("PATCH", PATH, {"not_before_ms": None})).status == 200
    assert (await api.call("PATCH", PATH, {"not_before_ms": 30})).code == "invalid"
    record = api.node.store.get("a/b")
    assert (record.version, record.not_before_ms, record.expires_ms) == (1, None, 20)
    assert (await patch(api, {"one": b"2"}, expires_ms=None)).json["version"] == 2
    assert api.node.store.get("a/b").expires_ms is None


async def test_patches_that_are_refused(api):
    assert (await patch(api, {"one": b"1"})).code == "not_found"
    await put(api, {"one": b"1"})
    for body, code in (
        ({}, "invalid"),
        ({"if_version": 1}, "invalid"),
        ({"fields": {}}, "invalid"),
        ({"fields": {"one": 5}}, "invalid"),
        ({"fields": {"one": "no base64"}}, "invalid"),
        ({"fields": {"one": "", "..": None}}, "invalid"),
        ({"fields": {"one": None}}, "invalid"),
        ({"fields": {"other": None}}, "not_found"),
        ({"fields": {"one": ""}, "grants": []}, "invalid"),
        ({"fields": {"two": b64(bytes(1 << 20))}}, "too_large"),
        ({"fields": {f"f{number}": "" for number in range(64)}}, "too_large"),
        ({"fields": {"one": ""}, "if_version": 0}, "invalid"),
    ):
        answer = await api.call("PATCH", PATH, body)
        assert answer.code == code and answer.json["detail"], (body, answer.body)
    await api.call("DELETE", PATH)
    assert (await patch(api, {"one": b"1"})).code == "deleted"
    assert api.node.value("a/b") == {"one": b"1"}


async def test_a_put_can_keep_the_window_and_says_when_it_ended_one(api):
    await put(api, {"value": b"1"}, not_before_ms=5, expires_ms=LATER)
    assert "window_cleared" not in await put(api, {"value": b"2"}, keep_window=True)
    await put(api, {"value": b"2"}, keep_window=True, expires_ms=LATER + 2)
    record = api.node.store.get("a/b")
    assert (record.not_before_ms, record.expires_ms) == (5, LATER + 2)
    assert (await put(api, {"value": b"3"}))["window_cleared"] is True
    assert api.node.store.get("a/b").expires_ms is None
    answer = await api.call("PUT", PATH, {"fields": {"value": ""}, "keep_window": 1})
    assert answer.code == "invalid"


async def test_a_value_is_read_back(api):
    one, two = os.urandom(20), os.urandom(20)
    await put(api, {"k": one, "l": b""})
    await put(api, {"k": two}, not_before_ms=5, expires_ms=LATER)
    answer = await api.call("GET", f"{PATH}/value")
    assert answer.json == {"name": "a/b", "version": 2, "fields": {"k": b64(two)}}
    assert answer.headers["Cache-Control"] == "no-store"
    older = await api.call("GET", f"{PATH}/value?version=1")
    assert older.json == {"name": "a/b", "version": 1, "fields": {"k": b64(one), "l": ""}}
    assert (await api.call("GET", f"{PATH}/value?version=1&field=l")).json["fields"] == {"l": ""}


async def test_values_that_are_not_there(api):
    assert (await api.call("GET", f"{PATH}/value")).code == "not_found"
    await put(api, {"k": b"v"})
    for query in ("version=2", "field=other"):
        answer = await api.call("GET", f"{PATH}/value?{query}")
        assert (answer.status, answer.code) == (404, "not_found") and answer.json["hint"]
    assert (await api.call("GET", f"{PATH}/value?version=0")).code == "invalid"
    await api.call("DELETE", PATH)
    assert (await api.call("GET", f"{PATH}/value")).code == "deleted"


async def test_reading_a_value_is_always_audited_and_never_with_it(api, audited):
    value = os.urandom(16)
    await put(api, {"k": value})
    audited.clear()
    assert (await api.call("GET", f"{PATH}/value")).status == 200
    assert (await api.call("GET", f"{PATH}/value?consistency=local")).status == 200
    assert (await api.call("GET", f"{PATH}/value", token="workload-token")).status == 403
    events = [(line["event"], line["secret"], line["version"], line["status"]) for line in audited]
    assert events[:2] == [("admin.secret.value", "a/b", 1, 200)] * 2 and events[2][3] == 403
    assert b64(value) not in str(audited) and value.hex() not in str(audited)


async def test_without_a_quorum_a_value_is_read_locally_and_patched_not_at_all(api):
    await put(api, {"k": b"v"})
    api.node.raft.quorum = False
    assert (await api.call("GET", f"{PATH}/value")).code == "no_quorum"
    answer = await api.call("GET", f"{PATH}/value?consistency=local")
    assert answer.json["fields"] == {"k": b64(b"v")} and answer.headers["Raftsafe-Stale"] == "true"
    assert (await patch(api, {"k": b"w"})).code == "no_quorum"


async def test_what_does_not_open_is_an_error_without_a_word_of_it(api, logged):
    await put(api, {"k": b"v"})
    api.node.keyring._keys[1] = bytes(32)
    for answer in (await api.call("GET", f"{PATH}/value"), await patch(api, {"l": b"w"})):
        assert (answer.status, answer.code) == (500, "internal")
    assert any("NotAuthentic" in line for line in logged.lines)


async def test_history_and_rollback(api):
    path = f"{PATH}/history"
    assert (await api.call("GET", path)).code == "not_found"
    for number in (1, 2, 3):
        await put(api, {"k": b"v%d" % number, f"f{number}": b""}, expires_ms=LATER)
    answer = await api.call("POST", f"{PATH}/rollback", {"to": 1, "if_version": 3}, Idempotency_Key="k")
    assert answer.json["version"] == 4 and api.node.value("a/b") == {"k": b"v1", "f1": b""}
    history = (await api.call("GET", path)).json
    assert [version["version"] for version in history["versions"]] == [4, 3, 2, 1] and not history["deleted"]
    assert history["versions"][2]["fields"] == [{"name": "f2", "size": 0}, {"name": "k", "size": 2}]
    assert history["versions"][0]["created_ms"] == api.node.store.get("a/b").written_ms
    again = await api.call("POST", f"{PATH}/rollback", {"to": 1, "if_version": 3}, Idempotency_Key="k")
    assert again.json == answer.json and api.node.store.get("a/b").version == 4
    for body, code in (
        ({"to": 1, "if_version": 3}, "conflict"),
        ({"to": 4}, "conflict"),
        ({"to": 9}, "not_found"),
        ({"to": 0}, "invalid"),
        ({}, "invalid"),
        ({"to": 1, "more": 1}, "invalid"),
    ):
        assert (await api.call("POST", f"{PATH}/rollback", body)).code == code
    await api.call("DELETE", PATH)
    assert (await api.call("GET", path)).json["deleted"] is True
    assert (await api.call("POST", f"{PATH}/rollback", {"to": 1})).code == "deleted"


@pytest.mark.parametrize("fields", [{"k": b"v" * 400_000}, {f"f{number}": os.urandom(9000) for number in range(60)}])
async def test_large_ones_come_back_whole(api, fields):
    await put(api, fields)
    await patch(api, {"one.more": b"x"})
    shown = (await api.call("GET", f"{PATH}/value")).json["fields"]
    assert {name: base64.b64decode(text) for name, text in shown.items()} == {**fields, "one.more": b"x"}
