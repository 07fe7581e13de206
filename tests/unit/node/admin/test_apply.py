"""Several secrets at once: all or nothing, a repeat changes nothing, and nobody's change in between is lost."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from node.admin.apply import Apply
from node.admin.rates import Rates
from node.crypto.sealing import SealKey
from statefulset.cli.sealing import seal


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def secret(name: str, fields: dict[str, bytes], **more):
    return {"name": name, "fields": {field: b64(value) for field, value in fields.items()}, **more}


async def apply(api, *secrets, **headers):
    return await api.call("POST", "/v1/apply", {"secrets": list(secrets)}, **headers)


def results(answer):
    assert answer.status == 200, answer.body
    return [(one["name"], one["version"], one["result"]) for one in answer.json["secrets"]]


ONE = secret("a/one", {"user": b"me", "pw": b"s3"}, grants=["a/x"], expires_ms=9)
TWO = secret("b/two", {"value": b"2"})


async def test_what_is_declared_is_there_and_a_repeat_changes_nothing(api):
    answer = await apply(api, ONE, TWO)
    assert results(answer) == [("a/one", 1, "created"), ("b/two", 1, "created")]
    assert answer.json["index"] == api.node.raft.index
    assert api.node.value("a/one") == {"user": b"me", "pw": b"s3"}
    record = api.node.store.get("a/one")
    assert (record.grants, record.not_before_ms, record.expires_ms) == (("a/x",), None, 9)
    proposed = len(api.node.raft.proposed)
    again = await apply(api, TWO, ONE)
    assert results(again) == [("b/two", 1, "unchanged"), ("a/one", 1, "unchanged")] and again.json["index"] == 0
    assert len(api.node.raft.proposed) == proposed and api.node.store.get("a/one") is record


async def test_only_what_differs_is_changed(api):
    await apply(api, ONE, TWO, secret("b/three", {"value": b"3"}))
    answer = await apply(
        api,
        secret("a/one", {"user": b"me", "pw": b"s3"}, grants=["a/y", "a/z"], expires_ms=None),
        secret("b/two", {"value": b"3"}),
        secret("b/three", {"value": b"3"}),
        secret("b/new", {"value": b"4"}),
    )
    names = [("a/one", 1, "changed"), ("b/two", 2, "updated"), ("b/three", 1, "unchanged"), ("b/new", 1, "created")]
    assert results(answer) == names
    record = api.node.store.get("a/one")
    assert (record.grants, record.expires_ms, record.version) == (("a/y", "a/z"), None, 1)
    assert len({api.node.store.get(name).index for name in ("a/one", "b/two", "b/new")}) == 1


async def test_what_is_not_named_stays(api):
    await apply(api, ONE)
    assert results(await apply(api, secret("a/one", {"user": b"me", "pw": b"s3"}))) == [("a/one", 1, "unchanged")]
    assert results(await apply(api, secret("a/one", {"pw": b"s3"}))) == [("a/one", 2, "updated")]
    record = api.node.store.get("a/one")
    assert (record.grants, record.expires_ms, dict(record.fields)) == (("a/x",), 9, {"pw": 2})
    assert results(await apply(api, secret("a/one", {"pw": b"s3"}, grants=[]))) == [("a/one", 2, "changed")]


async def test_a_deleted_one_is_made_again(api):
    await apply(api, ONE)
    await api.call("DELETE", "/v1/secrets/a/one")
    assert results(await apply(api, ONE)) == [("a/one", 2, "created")]
    assert not api.node.store.get("a/one").deleted


async def test_all_or_nothing(api):
    await apply(api, TWO)
    await api.call("PATCH", "/v1/secrets/b/two", {"not_before_ms": 50})
    before = api.node.store.get("b/two")
    answer = await apply(api, ONE, secret("b/two", {"value": b"2"}, expires_ms=40))
    assert answer.code == "invalid" and "b/two" in answer.json["detail"]
    assert api.node.store.get("a/one") is None and api.node.store.get("b/two") is before


@pytest.mark.parametrize("also", ["grants", "window", "value", "delete", "purge"])
async def test_a_change_in_between_is_not_overwritten_unseen(api, also):
    """Whatever somebody else did between the look and the log: it is looked at again, and the answer is true."""
    await apply(api, ONE, TWO)
    propose, busy = api.node.raft.propose, []
    done = {
        "grants": ("POST", "/v1/secrets/a/one/grants", {"add": ["a/other"]}),
        "window": ("PATCH", "/v1/secrets/a/one", {"expires_ms": 77}),
        "value": ("PATCH", "/v1/secrets/a/one", {"fields": {"pw": b64(b"other")}}),
        "delete": ("DELETE", "/v1/secrets/a/one", None),
        "purge": ("POST", "/v1/secrets/a/one/purge", None),
    }

    async def proposing(command, timeout):
        if not busy:
            busy.append(True)
            assert (await api.call(*done[also])).status == 200
        return await propose(command, timeout)

    api.node.raft.propose = proposing
    answer = await apply(api, ONE, secret("b/two", {"value": b"new"}))
    expected = {"value": (3, "updated"), "delete": (2, "created"), "purge": (2, "created")}.get(also, (1, "changed"))
    assert results(answer) == [("a/one", *expected), ("b/two", 2, "updated")]
    record = api.node.store.get("a/one")
    assert (record.grants, record.expires_ms) == (("a/x",), 9) and api.node.value("a/one")["pw"] == b"s3"


async def test_it_gives_up_in_the_end(api):
    await apply(api, ONE)
    propose, busy, number = api.node.raft.propose, [], [0]

    async def proposing(command, timeout):
        if not busy:
            busy.append(True)
            number[0] += 1
            await api.call("POST", "/v1/secrets/a/one/grants", {"add": [f"a/n{number[0]}"]})
            busy.clear()
        return await propose(command, timeout)

    api.node.raft.propose = proposing
    assert (await apply(api, ONE, TWO)).code == "unavailable"
    assert api.node.store.get("b/two") is None


async def test_the_same_key_is_answered_alike(api):
    first = await apply(api, ONE, TWO, Idempotency_Key="k")
    await api.call("PATCH", "/v1/secrets/b/two", {"fields": {"value": b64(b"later")}})
    again = await apply(api, ONE, TWO, Idempotency_Key="k")
    assert again.json == first.json and api.node.value("b/two") == {"value": b"later"}


async def test_nothing_of_it_is_proposed_in_the_clear(api, logged):
    value = os.urandom(18)
    answer = await apply(api, secret("a/b", {"value": value}))
    said = answer.body + b"".join(api.node.raft.proposed) + "".join(logged.lines).encode()
    assert value not in said and b64(value).encode() not in said and value.hex().encode() not in said


async def test_a_line_in_the_audit_log_for_each(api, audited):
    await apply(api, ONE, TWO)
    await apply(api, ONE, secret("b/two", {"value": b"3"}))
    await apply(api, ONE)
    assert (await apply(api, ONE, secret("b/two", {"value": b"3"}, not_before_ms=5, expires_ms=5))).status == 400
    assert (await apply(api, ONE, secret("b/two", {"v": b""}), Idempotency_Key="x" * 300)).status == 400
    lines = [(line["event"], line["secret"], line["version"], line["result"]) for line in audited]
    event = "admin.secret.apply"
    assert lines[:3] == [(event, "a/one", 1, "ok"), (event, "b/two", 1, "ok"), (event, "b/two", 2, "ok")]
    assert lines[3:5] == [(event, None, None, "ok"), (event, None, None, "invalid")]
    assert lines[5:] == [(event, "a/one", None, "invalid"), (event, "b/two", None, "invalid")]
    assert len({line["request_id"] for line in audited[:2]}) == 1


async def test_bodies_that_are_refused(api):
    good = secret("a/b", {"value": b"1"})
    for body, code in (
        ({}, "invalid"),
        ({"secrets": []}, "invalid"),
        ({"secrets": {}}, "invalid"),
        ({"secrets": [good], "more": 1}, "invalid"),
        ({"secrets": [good, good]}, "invalid"),
        ({"secrets": [good, 5]}, "invalid"),
        ({"secrets": [good, {**good, "name": "b"}]}, "invalid"),
        ({"secrets": [good, {"name": "a/c"}]}, "invalid"),
        ({"secrets": [good, {**good, "name": "a/c", "if_version": 1}]}, "invalid"),
        ({"secrets": [good, {**good, "name": "a/c", "grants": ["x"]}]}, "invalid"),
        ({"secrets": [good, {**good, "name": "a/c", "not_before_ms": 5, "expires_ms": 5}]}, "invalid"),
        ({"secrets": [good, {**good, "name": "a/c", "fields": {"x": "no base64"}}]}, "invalid"),
        ({"secrets": [{**good, "name": f"a/n{number}"} for number in range(257)]}, "too_large"),
        ({"secrets": [good, secret("a/c", {"value": bytes((1 << 20) + 1)})]}, "too_large"),
    ):
        answer = await api.call("POST", "/v1/apply", body)
        assert answer.code == code and answer.json["hint"], (body, answer.body)
    assert len(api.node.store) == 0
    many = [{**good, "name": f"a/n{number}"} for number in range(256)]
    assert len(results(await apply(api, *many))) == 256


class Some:
    """May do what is on the list: (verb, subresource, namespace, name)."""

    def __init__(self, gate, *may):
        self.who, self._may, self.asked = gate.who, may, []

    async def may(self, person, right):
        self.asked.append(right)
        return (right.verb, right.subresource, right.namespace, right.name) in self._may


async def test_what_a_put_needs_is_needed_for_each(api):
    gate = api.node.services.gate
    both = [("create", "", "b", ""), ("update", "", "b", "")]
    single = [("create", "", "a", "one"), ("update", "", "a", "one")]
    grant = [("update", "grant", "a", "one")]
    for may, status in ((both, 403), (both + single, 403), (both + single + grant, 200)):
        some = Some(gate, *may)
        object.__setattr__(api.node.services, "gate", some)
        assert (await apply(api, ONE, TWO, secret("b/three", {"value": b"3"}))).status == status
        assert (api.node.store.get("b/two") is not None) == (status == 200)
    assert sum(right.namespace == "b" for right in some.asked) == 2


async def test_values_that_were_sealed_for_git(api):
    sealed = seal(api.node.sealing.public, "a/one", {"user": b"me", "pw": b"s3"})
    answer = await apply(api, {"name": "a/one", "sealed": sealed, "grants": ["a/x"]}, TWO)
    assert results(answer) == [("a/one", 1, "created"), ("b/two", 1, "created")]
    assert api.node.value("a/one") == {"user": b"me", "pw": b"s3"}
    again = seal(api.node.sealing.public, "a/one", {"user": b"me", "pw": b"s3"})
    assert results(await apply(api, {"name": "a/one", "sealed": again})) == [("a/one", 1, "unchanged")]


@pytest.mark.parametrize("wrong", ["moved", "field", "plain", "number"])
async def test_a_sealed_value_that_does_not_open_changes_nothing(api, wrong):
    text = seal(api.node.sealing.public, "a/one", {"pw": b"canary-value"})["pw"]
    name, field = ("a/two" if wrong == "moved" else "a/one"), ("user" if wrong == "field" else "pw")
    text = {"plain": "canary-value", "number": 7}.get(wrong, text)
    answer = await apply(api, TWO, {"name": name, "sealed": {field: text}})
    assert answer.status == 400 and answer.json["code"] == "invalid" and "canary" not in answer.body.decode()
    assert api.node.store.get("b/two") is None
    both = await apply(api, {"name": "a/one", "sealed": {"pw": text}, "fields": {"pw": ""}})
    assert both.status == 400


async def test_the_sealing_key_is_public(api):
    answer = await api.call("GET", "/v1/sealing-key", token="")
    assert answer.status == 200 and base64.b64decode(answer.json["key"]) == api.node.sealing.public


async def test_rights_and_rate_come_before_anything_sealed_is_opened(api, monkeypatch):
    """Opening one takes as long as half a request: who may not write must not have thousands opened."""
    opened = []
    monkeypatch.setattr(SealKey, "open", lambda self, name, field, text: opened.append(field) or b"x")
    many = {f"f{number}": "safe1.x" for number in range(64)}
    secrets = [{"name": f"a/s{number}", "sealed": many} for number in range(40)]
    body = {"secrets": secrets}
    assert (await api.call("POST", "/v1/apply", body, token="workload-token")).json["code"] == "forbidden"
    assert opened == []
    charged = []
    monkeypatch.setattr(Rates, "charge", lambda self, identity, tokens: charged.append(tokens))
    assert (await api.call("POST", "/v1/apply", body)).status == 200
    assert len(opened) == 40 * 64 and sum(charged) >= len(opened)


async def test_other_requests_are_answered_while_sealed_values_are_opened(api, monkeypatch):
    turns = []
    loop = asyncio.get_running_loop()

    def slow(self, name, field, text):
        loop.call_soon(turns.append, name)
        return b"x"

    monkeypatch.setattr(SealKey, "open", slow)
    seen = []
    monkeypatch.setattr(Apply, "_batch", lambda self, declared, base: seen.append(len(turns)))
    assert (await apply(api, *({"name": f"a/s{number}", "sealed": {"f": "x"}} for number in range(9)))).status == 200
    assert seen and seen[0] >= 8
