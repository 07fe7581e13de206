"""The handlers about secrets, over HTTPS against a real store and keyring."""

from __future__ import annotations

import base64
import os

import msgpack
import pytest

from node.store import commands

LATER = 4_000_000_000_000
SA = "system:serviceaccount:payments:api"


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def test_put_seals_commits_and_answers(api):
    answer = await api.put("payments/db", b"s3cret", grants=["payments/api"])
    assert answer.status == 200, answer.body
    assert answer.json == {"name": "payments/db", "version": 1, "index": api.node.raft.index}
    assert api.node.value("payments/db") == {"value": b"s3cret"}
    assert api.node.store.get("payments/db").grants == ("payments/api",)


async def test_what_is_proposed_holds_no_plaintext(api):
    value = os.urandom(24)
    await api.put("payments/db", value)
    command = api.node.raft.proposed[-1]
    assert value not in command and b64(value).encode() not in command
    assert msgpack.unpackb(command)["op"] == "put"


@pytest.mark.parametrize("value", [b"", b"\n", b"x\r\n\0", bytes(range(256)), os.urandom(1 << 20)])
async def test_values_are_kept_byte_for_byte(api, value):
    assert (await api.put("a/b", value)).status == 200
    assert api.node.value("a/b") == {"value": value}


async def test_many_fields(api):
    fields = {f"f.{i}": os.urandom(i) for i in range(64)}
    body = {"fields": {name: b64(value) for name, value in fields.items()}}
    assert (await api.call("PUT", "/v1/secrets/a/b", body)).status == 200
    assert api.node.value("a/b") == fields


async def test_without_a_data_key_it_is_not_available(make_api):
    async with make_api(with_key=False) as api:
        answer = await api.put("a/b")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert api.node.raft.proposed == []
        api.node.add_key()
        assert (await api.put("a/b")).status == 200


async def test_if_version(api):
    assert (await api.put("a/b", if_version=0)).json["version"] == 1
    answer = await api.put("a/b", if_version=0)
    assert (answer.status, answer.code) == (409, "conflict")
    assert "1" in answer.json["detail"]
    assert (await api.put("a/b", if_version=1)).json["version"] == 2
    assert (await api.put("a/b", if_version=1)).code == "conflict"


async def test_the_same_key_is_applied_once(api):
    first = await api.call("PUT", "/v1/secrets/a/b", {"fields": {"value": b64(b"1")}}, Idempotency_Key="k1")
    again = await api.call("PUT", "/v1/secrets/a/b", {"fields": {"value": b64(b"1")}}, Idempotency_Key="k1")
    assert first.json == again.json and api.node.store.get("a/b").version == 1
    other = await api.call("PUT", "/v1/secrets/a/b", {"fields": {"value": b64(b"1")}}, Idempotency_Key="k2")
    assert other.json["version"] == 2


async def test_a_key_used_twice_does_not_swallow_a_write_of_another_secret(api):
    for name in ("a/b", "a/c"):
        body = {"fields": {"value": b64(name.encode())}}
        answer = await api.call("PUT", f"/v1/secrets/{name}", body, Idempotency_Key="same")
        assert answer.json["name"] == name
    assert api.node.value("a/c") == {"value": b"a/c"}


async def test_grants_stay_unless_named(api):
    await api.put("a/b", grants=["a/x"])
    await api.put("a/b")
    assert api.node.store.get("a/b").grants == ("a/x",)
    await api.put("a/b", grants=[])
    assert api.node.store.get("a/b").grants == ()


async def test_get_is_metadata_only(api):
    value = os.urandom(12)
    await api.put("a/b", value, grants=["*/x"], not_before_ms=5, expires_ms=LATER)
    answer = await api.call("GET", "/v1/secrets/a/b")
    record = api.node.store.get("a/b")
    assert answer.json == {
        "name": "a/b",
        "version": 1,
        "created_ms": record.created_ms,
        "updated_ms": record.updated_ms,
        "not_before_ms": 5,
        "expires_ms": LATER,
        "fields": [{"name": "value", "size": 12}],
        "grants": ["*/x"],
        "deleted": False,
        "index": record.index,
    }
    assert "Raftsafe-Stale" not in answer.headers
    assert api.node.raft.barriers == 1


async def test_get_of_what_is_not_there(api):
    answer = await api.call("GET", "/v1/secrets/a/b")
    assert (answer.status, answer.code) == (404, "not_found") and answer.json["hint"]


async def test_delivered_counts_connected_sidecars(api):
    await api.put("a/b")
    await api.put("a/b")
    sidecars = api.node.sidecars
    sidecars.add("p1", {"a/b": 2})
    sidecars.add("p2", {"a/b": 1})
    sidecars.add("p3", {"a/c": 9})
    sidecars.add("p4", {"a/b": 2}, connected=False)
    answer = await api.call("GET", "/v1/secrets/a/b?delivered=true")
    assert answer.json["delivered"] == {"current": 1, "older": 1}
    assert "delivered" not in (await api.call("GET", "/v1/secrets/a/b")).json


async def test_without_a_quorum(api):
    await api.put("a/b", b"kept")
    api.node.raft.quorum = False
    for answer in (
        await api.put("a/b"),
        await api.call("GET", "/v1/secrets/a/b"),
        await api.call("GET", "/v1/secrets"),
        await api.call("DELETE", "/v1/secrets/a/b"),
        await api.call("POST", "/v1/secrets/a/b/grants", {"add": ["a/x"]}),
        await api.call("POST", "/v1/secrets/a/b/undelete"),
    ):
        assert (answer.status, answer.code) == (503, "no_quorum")
        assert int(answer.headers["Retry-After"]) >= 1
    assert "consistency=local" in (await api.call("GET", "/v1/secrets/a/b")).json["hint"]
    for path in ("/v1/secrets/a/b", "/v1/secrets"):
        answer = await api.call("GET", f"{path}?consistency=local")
        assert answer.status == 200 and answer.headers["Raftsafe-Stale"] == "true"
    assert api.node.value("a/b") == {"value": b"kept"}


async def test_local_with_a_quorum_is_not_stale(api):
    await api.put("a/b")
    answer = await api.call("GET", "/v1/secrets/a/b?consistency=local")
    assert answer.headers["Raftsafe-Stale"] == "false" and api.node.raft.barriers == 0


async def test_a_node_that_is_behind_does_not_answer_from_its_old_copy(api):
    await api.put("a/b")
    api.node.raft.index += 1
    assert (await api.call("GET", "/v1/secrets/a/b")).code == "unavailable"


async def test_delete_and_undelete(api):
    await api.put("a/b", b"v")
    assert (await api.call("DELETE", "/v1/secrets/a/b?if_version=7")).code == "conflict"
    assert (await api.call("DELETE", "/v1/secrets/a/b?if_version=1")).status == 200
    assert (await api.call("GET", "/v1/secrets/a/b")).json["deleted"] is True
    for answer in (
        await api.call("DELETE", "/v1/secrets/a/b"),
        await api.call("POST", "/v1/secrets/a/b/grants", {"add": ["a/x"]}),
    ):
        assert (answer.status, answer.code) == (410, "deleted")
    assert (await api.call("POST", "/v1/secrets/a/b/undelete")).json["version"] == 1
    assert api.node.value("a/b") == {"value": b"v"}
    assert (await api.call("POST", "/v1/secrets/a/b/undelete")).code == "conflict"
    assert (await api.call("DELETE", "/v1/secrets/a/none")).code == "not_found"


async def test_grants(api):
    await api.put("a/b", grants=["a/x"])
    answer = await api.call("POST", "/v1/secrets/a/b/grants", {"add": ["a/y", "a/*"], "remove": ["a/x"]})
    assert answer.status == 200 and answer.json["index"] == api.node.raft.index
    assert set(api.node.store.get("a/b").grants) == {"a/y", "a/*"}
    assert (await api.call("POST", "/v1/secrets/a/b/grants", {"remove": ["a/y"]})).status == 200
    assert api.node.store.get("a/b").grants == ("a/*",)
    assert (await api.call("POST", "/v1/secrets/a/none/grants", {"add": ["a/y"]})).code == "not_found"


async def test_grants_answer_with_what_is_left(api):
    await api.put("a/b", grants=["a/x", "a/*"])
    path = "/v1/secrets/a/b/grants"
    assert (await api.call("POST", path, {"remove": ["a/x"]})).json["grants"] == ["a/*"]
    assert (await api.call("POST", path, {"remove": ["a/x"]})).json["grants"] == ["a/*"]
    assert (await api.call("POST", path, {"add": ["a/y"], "remove": ["a/*"]})).json["grants"] == ["a/y"]


async def test_grants_are_not_answered_from_a_copy_that_is_behind(api):
    await api.put("a/b", grants=["a/x"])

    async def behind(index, timeout):
        assert index == api.node.store.index and timeout > 0
        return False

    api.node.raft.wait_applied = behind
    answer = await api.call("POST", "/v1/secrets/a/b/grants", {"remove": ["a/x"]})
    assert (answer.status, answer.code) == (503, "unavailable") and "Idempotency-Key" in answer.json["hint"]


async def test_purge(api):
    await api.put("a/b", grants=["a/x"])
    path = "/v1/secrets/a/b/purge"
    assert (await api.call("POST", f"{path}?if_version=2")).code == "conflict"
    assert (await api.call("POST", f"{path}?if_version=x")).code == "invalid"
    first = await api.call("POST", f"{path}?if_version=1", Idempotency_Key="k")
    assert first.json == {"name": "a/b", "version": 1, "index": api.node.raft.index}
    assert api.node.store.get("a/b") is None
    assert (await api.call("POST", path)).code == "not_found"
    assert (await api.put("a/b")).json["version"] == 2
    again = await api.call("POST", f"{path}?if_version=1", Idempotency_Key="k")
    assert again.json == first.json and api.node.store.get("a/b").version == 2


async def test_both_lists_with_one_key_are_two_changes_and_each_once(api):
    await api.put("a/b", grants=["a/x"])
    body = {"add": ["a/y"], "remove": ["a/x"]}
    first = await api.call("POST", "/v1/secrets/a/b/grants", body, Idempotency_Key="k")
    index = api.node.store.get("a/b").index
    again = await api.call("POST", "/v1/secrets/a/b/grants", body, Idempotency_Key="k")
    assert first.json == again.json and api.node.store.get("a/b").index == index
    assert api.node.store.get("a/b").grants == ("a/y",)


@pytest.mark.parametrize("grant", ["a", "a/", "/a", "a/b/c", "A/b", "a*/b", "**/b", ""])
async def test_grants_that_are_no_grants(api, grant):
    await api.put("a/b")
    for answer in (
        await api.put("a/b", grants=[grant]),
        await api.call("POST", "/v1/secrets/a/b/grants", {"add": [grant]}),
    ):
        assert (answer.status, answer.code) == (400, "invalid")


async def test_list_in_pages(api):
    for name in ("a/one", "a/two", "b/one", "b/two"):
        await api.put(name)
    first = (await api.call("GET", "/v1/secrets?limit=3")).json
    assert [record["name"] for record in first["secrets"]] == ["a/one", "a/two", "b/one"]
    rest = (await api.call("GET", f"/v1/secrets?limit=3&after={first['next']}")).json
    assert [record["name"] for record in rest["secrets"]] == ["b/two"] and rest["next"] is None


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("namespace=a", ["a/one", "a/two"]),
        ("namespace=a&prefix=t", ["a/two"]),
        ("namespace=a&prefix=x", []),
        ("prefix=b/t", ["b/two"]),
        ("prefix=b", ["b/one", "b/two"]),
        ("namespace=c", []),
    ],
)
async def test_list_filters(api, query, names):
    for name in ("a/one", "a/two", "b/one", "b/two"):
        await api.put(name)
    found = (await api.call("GET", f"/v1/secrets?{query}")).json["secrets"]
    assert [record["name"] for record in found] == names


async def test_list_refusals(api):
    for query in (
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1&limit=2",
        "colour=red",
        "namespace=A",
        "consistency=soon",
    ):
        answer = await api.call("GET", f"/v1/secrets?{query}")
        assert answer.code == "invalid" and answer.json["hint"]


@pytest.mark.parametrize("name", ["A/b", "a/B", "a/b..c", "a/-b", "a/b%20c", "a%2Fb/c", "-/x", "a/" + "b" * 254])
async def test_names_that_are_refused(api, name):
    for method, path in (
        ("PUT", ""),
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/undelete"),
        ("POST", "/purge"),
        ("POST", "/grants"),
    ):
        body = {"fields": {"value": ""}} if method == "PUT" else {"add": ["a/b"]} if path == "/grants" else None
        answer = await api.call(method, f"/v1/secrets/{name}{path}", body)
        assert answer.status in (400, 404) and answer.json["hint"]
    assert len(api.node.store) == 0


async def test_bodies_of_the_wrong_kind(api):
    good = {"fields": {"value": ""}}
    cases = [
        ({"Content_Type": "text/plain"}, good, 400),
        ({"Content_Type": "application/x-www-form-urlencoded"}, b"value=hunter2", 400),
        ({"Content_Encoding": "gzip"}, good, 400),
        ({}, b"", 400),
        ({}, b"{}", 400),
        ({}, {**good, "colour": "red"}, 400),
        ({}, {"fields": {"value": b64(bytes((1 << 20) + 1))}}, 413),
        ({}, b" " * ((2 << 20) + 1), 413),
        ({"Idempotency_Key": "x" * 300}, good, 400),
        ({}, {**good, "not_before_ms": LATER, "expires_ms": LATER}, 400),
        ({}, {**good, "expires_ms": 5}, 400),
    ]
    for headers, body, status in cases:
        answer = await api.call("PUT", "/v1/secrets/a/b", body, **headers)
        assert answer.status == status, (headers, answer.body)
        assert answer.json["hint"] and answer.json["detail"]
    assert len(api.node.store) == 0


async def test_the_audit_line_says_who_got_it_and_who_lost_it(api, audited):
    """Giving a secret to everybody and taking it back were the same line."""
    await api.call("PUT", "/v1/secrets/a/b", {"fields": {"value": "cw=="}, "grants": ["a/one"]})
    await api.call("POST", "/v1/secrets/a/b/grants", {"add": ["*/*"]})
    await api.call("POST", "/v1/secrets/a/b/grants", {"remove": ["*/*", "pasted value"]})
    found = [
        {key: line[key] for key in line if key.startswith("grants_")}
        for line in audited
        if line["event"] in ("admin.secret.put", "admin.secret.grants")
    ]
    assert found[0] == {"grants_set": ["a/one"], "grants_set_count": 1}
    assert found[1]["grants_added"] == ["*/*"] and found[1]["grants_removed"] == []
    assert found[2]["grants_removed"] == ["*/*"] and found[2]["grants_removed_count"] == 2


@pytest.mark.parametrize(
    ("method", "path", "one", "two"),
    [
        ("PUT", "", {"fields": {"value": b64(b"1")}}, {"fields": {"value": b64(b"2")}}),
        ("PATCH", "", {"fields": {"value": b64(b"1")}}, {"fields": {"value": b64(b"2")}}),
        ("POST", "/grants", {"add": ["a/x"]}, {"add": ["a/y"]}),
        ("POST", "/rollback", {"to": 1}, {"to": 2}),
    ],
)
async def test_a_key_with_another_body_is_refused(api, method, path, one, two):
    """The second was answered with what had become of the first, and never done."""
    for _ in range(3):
        await api.put("a/b")
    path = f"/v1/secrets/a/b{path}"
    first = await api.call(method, path, one, Idempotency_Key="k")
    index = api.node.store.get("a/b").index
    other = await api.call(method, path, two, Idempotency_Key="k")
    assert first.status == 200 and (other.status, other.code) == (422, "key_reused") and other.json["hint"]
    assert (await api.call(method, path, one, Idempotency_Key="k")).json == first.json
    assert api.node.store.get("a/b").index == index
    assert (await api.call(method, path, two, Idempotency_Key="k2")).status == 200


async def test_a_node_that_has_not_seen_the_key_does_what_it_answers(make_api):
    """It cannot refuse another request under it, and does it; and a repeat is one there as well."""
    path, one = "/v1/secrets/a/b", {"fields": {"value": b64(b"1")}}
    async with make_api() as api:
        first = await api.call("PUT", path, one, Idempotency_Key="k")
        log = api.node.raft.proposed
    for value, version in ((b"1", 1), (b"2", 2)):
        async with make_api() as other:
            for command in log:
                await other.node.raft.propose(command, 1.0)
            answer = await other.call("PUT", path, {"fields": {"value": b64(value)}}, Idempotency_Key="k")
            assert answer.json["version"] == other.node.store.get("a/b").version == version
            assert version == 2 or answer.json == first.json


async def test_who_may_only_create_does_not_bring_back_what_is_deleted_at_that_moment(api, monkeypatch):
    """Else he waits for a deletion with puts in flight, and has his value delivered to whom it was granted."""
    api.node.gate.rights[SA] = {("create", "safesecrets", "a", "*")}
    await api.put("a/one", b"theirs", grants=["a/x"])
    propose = api.node.raft.propose

    async def after_a_deletion(command, timeout):
        delete = commands.Delete(rid=b"d" * 16, t=1, actor="another", name="a/one")
        await propose(commands.encode(delete), timeout)
        return await propose(command, timeout)

    monkeypatch.setattr(api.node.raft, "propose", after_a_deletion)
    body = {"fields": {"value": "bWluZQ=="}, "if_version": 0}
    answer = await api.call("PUT", "/v1/secrets/a/one", body, token="workload-token")
    assert answer.code == "conflict" and api.node.value("a/one") == {"value": b"theirs"}
    assert answer.json["detail"] == "a/one exists already with version 1"


async def test_who_may_only_create_puts_what_was_never_there_and_nothing_else(api):
    api.node.gate.rights[SA] = {("create", "safesecrets", "a", "*")}

    async def put(name, **more):
        body = {"fields": {"value": b64(b"v")}, **more}
        return await api.call("PUT", f"/v1/secrets/a/{name}", body, token="workload-token")

    assert (await put("one", if_version=0)).json["version"] == 1
    assert (await put("one", if_version=0)).code == "conflict"
    for more in ({}, {"if_version": 1}, {"if_version": None}):
        for name in ("one", "two"):
            answer = await put(name, **more)
            assert answer.code == "forbidden" and "update safesecrets" in answer.json["detail"]
            assert "raftsafe-editor" in answer.json["hint"] and "--if-version" in answer.json["hint"]
    assert (await put("three", if_version=0, grants=["a/x"])).code == "forbidden"
    # A deleted one would come back to those it was granted to; a purged one is gone.
    await api.put("a/gone", grants=["a/x"])
    await api.call("DELETE", "/v1/secrets/a/gone")
    assert (await put("gone", if_version=0)).code == "forbidden"
    await api.call("POST", "/v1/secrets/a/gone/purge")
    assert (await put("gone", if_version=0)).json["version"] == 2 and api.node.store.get("a/gone").grants == ()
    api.node.gate.rights[SA] = {("update", "safesecrets", "a", "*")}
    assert (await put("four", if_version=0)).code == "forbidden"


async def test_a_put_that_nobody_would_ever_get_is_refused(api):
    now = api.node.clock.wall_ms()
    answer = await api.put("a/b", expires_ms=now - 1)
    assert (answer.status, answer.code) == (400, "invalid") and "in the past" in answer.json["detail"]
    assert "--expires" in answer.json["hint"] and api.node.store.get("a/b") is None
    assert (await api.put("a/b", expires_ms=now + 60_000)).status == 200
    assert (await api.put("a/b", expires_ms=None)).status == 200
    # To end it now is a change of the window, and a file that says so is applied, again and again.
    assert (await api.call("PATCH", "/v1/secrets/a/b", {"expires_ms": now - 1})).status == 200
    declared = [{"name": name, "fields": {"value": b64(b"v")}, "expires_ms": now - 1} for name in ("a/b", "a/c")]
    for expected in (["unchanged", "created"], ["unchanged", "unchanged"]):
        answer = await api.call("POST", "/v1/apply", {"secrets": declared})
        assert [one["result"] for one in answer.json["secrets"]] == expected


async def test_a_repeat_that_comes_after_the_end_gets_the_answer_of_the_first(api, monkeypatch):
    now = api.node.clock.wall_ms()
    body = {"fields": {"value": b64(b"v")}, "expires_ms": now + 60_000}
    first = await api.call("PUT", "/v1/secrets/a/b", body, Idempotency_Key="k")
    monkeypatch.setattr(type(api.node.clock), "wall_ms", lambda _: now + 90_000)
    assert (await api.call("PUT", "/v1/secrets/a/b", body, Idempotency_Key="k")).json == first.json
    assert (await api.call("PUT", "/v1/secrets/a/b", body, Idempotency_Key="k2")).code == "invalid"
