"""Strict reading of bodies, queries and headers; and that a refusal holds nothing of what it refused."""

from __future__ import annotations

import base64
import gc
import json

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from node.admin import bodies
from node.errors import Rejected

CANARY = "c4nary-value-never-shown"
B64 = base64.b64encode(CANARY.encode()).decode()


def refusal(function, *args) -> Rejected:
    with pytest.raises(Rejected) as caught:
        function(*args)
    return caught.value


def everything_of(error: BaseException) -> str:
    """All that a logger could find: text, repr, arguments, and the same of causes and contexts."""
    out, seen = [], set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        out += [str(one), repr(one), repr(one.args), repr(vars(one))]
        todo += [one.__cause__, one.__context__]
    return "\n".join(out)


def test_a_whole_put():
    body = {"fields": {"value": B64, "e": ""}, "grants": ["a/b"], "if_version": 0, "not_before_ms": 1, "expires_ms": 2}
    put = bodies.put(json.dumps(body).encode())
    assert put.fields == {"value": CANARY.encode(), "e": b""}
    assert (put.grants, put.if_version, put.not_before_ms, put.expires_ms) == (("a/b",), 0, 1, 2)
    assert CANARY not in repr(put)


def test_null_is_the_same_as_absent():
    put = bodies.put(b'{"fields": {"value": ""}, "grants": null, "if_version": null}')
    assert (put.grants, put.if_version) == (None, None)


def test_empty_grants_are_not_absent_grants():
    assert bodies.put(b'{"fields": {"value": ""}, "grants": []}').grants == ()


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
        st.binary(max_size=200),
        min_size=1,
        max_size=64,
    )
)
def test_values_come_through_byte_for_byte(fields: dict[str, bytes]):
    body = {"fields": {name: base64.b64encode(value).decode() for name, value in fields.items()}}
    assert bodies.put(json.dumps(body).encode()).fields == fields


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (f"{CANARY}", "JSON"),
        (f'{{"fields": "{CANARY}', "JSON"),
        (f'"{CANARY}"', "object"),
        (f'["{CANARY}"]', "object"),
        (f'{{"fields": NaN, "x": "{CANARY}"}}', "JSON"),
        (f'{{"{CANARY}": 1, "fields": {{}}}}', "key that does not exist"),
        (f'{{"fields": {{"a": "{B64}", "a": "{B64}"}}}}', "twice"),
        (f'{{"fields": {{}}, "fields": {{"a": "{B64}"}}}}', "twice"),
        (f'{{"fields": "{CANARY}"}}', "fields"),
        (f'{{"fields": ["{CANARY}"]}}', "fields"),
        ('{"fields": {}}', "fields"),
        ("{}", "fields"),
        (f'{{"fields": {{"value": "{CANARY}!"}}}}', "fields.value"),
        (f'{{"fields": {{"value": ["{CANARY}"]}}}}', "fields.value"),
        (f'{{"fields": {{"value": "{B64}=="}}}}', "fields.value"),
        (f'{{"fields": {{"value": "{B64}\\n"}}}}', "fields.value"),
        ('{"fields": {"value": "QR=="}}', "fields.value"),
        ('{"fields": {"value": "QQ"}}', "fields.value"),
        ('{"fields": {"value": 1}}', "fields.value"),
        ('{"fields": {"value": null}}', "fields.value"),
        (f'{{"fields": {{"../{CANARY}": ""}}}}', "field number 1"),
        (f'{{"fields": {{"value": ""}}, "grants": "{CANARY}"}}', "grants"),
        ('{"fields": {"value": ""}, "grants": [1]}', "grants"),
        (f'{{"fields": {{"value": ""}}, "if_version": "{CANARY}"}}', "if_version"),
        ('{"fields": {"value": ""}, "if_version": true}', "if_version"),
        ('{"fields": {"value": ""}, "if_version": 1.5}', "if_version"),
        ('{"fields": {"value": ""}, "if_version": -1}', "if_version"),
        ('{"fields": {"value": ""}, "expires_ms": 9007199254740992}', "expires_ms"),
        ("[" * 100_000, "JSON"),
        ('{"fields": ' + '{"a":' * 50_000, "JSON"),
        ('{"if_version": ' + "9" * 5000 + "}", "JSON"),
    ],
)
def test_what_is_refused_is_named_and_not_quoted(body: str, names: str):
    error = refusal(bodies.put, body.encode())
    assert error.code == "invalid" and names in error.message
    assert CANARY not in everything_of(error) and B64 not in everything_of(error)


def test_bytes_that_are_not_text_are_not_kept_in_the_error():
    error = refusal(bodies.put, b'{"fields": "' + CANARY.encode() + b'\xff"}')
    assert "UTF-8" in error.message
    gc.collect()
    assert CANARY not in everything_of(error)


def test_sizes():
    one_mib = base64.b64encode(bytes(1 << 20)).decode()
    assert len(bodies.put(json.dumps({"fields": {"value": one_mib}}).encode()).fields["value"]) == 1 << 20
    for fields in ({"value": one_mib, "b": "QQ=="}, {f"f{i}": "" for i in range(65)}):
        assert refusal(bodies.put, json.dumps({"fields": fields}).encode()).code == "too_large"


def test_grants():
    assert bodies.grants(b'{"add": ["a/b"], "remove": ["c/*"]}') == bodies.GrantsBody(("a/b",), ("c/*",))
    for body in (b"{}", b'{"add": []}', b'{"add": ["a/b"], "remove": ["a/b"]}', b'{"add": "a/b"}', b'{"fields": {}}'):
        assert refusal(bodies.grants, body).code == "invalid"


def test_queries():
    request = make_mocked_request("GET", "/x?limit=5&consistency=local&delivered=true")
    query = bodies.query(request, "limit", "consistency", "delivered")
    assert bodies.query_integer(query, "limit", 1, 10) == 5
    assert bodies.query_local(query) and bodies.query_flag(query, "delivered")
    assert bodies.query_integer({}, "limit", 1, 10) is None
    assert not bodies.query_local({}) and not bodies.query_flag({}, "delivered")
    for path in (f"/x?{CANARY}=1", "/x?limit=1&limit=2", f"/x?limit={CANARY * 20}"):
        assert CANARY not in everything_of(refusal(bodies.query, make_mocked_request("GET", path), "limit"))
    for text in ("", "0", "11", "-1", "1.0", "٣", CANARY, "9" * 40):
        assert CANARY not in everything_of(refusal(bodies.query_integer, {"limit": text}, "limit", 1, 10))
    assert refusal(bodies.query_local, {"consistency": "strong"}).code == "invalid"
    assert refusal(bodies.query_flag, {"delivered": "yes"}, "delivered").code == "invalid"


def test_a_whole_number_may_be_written_with_a_point():
    assert bodies.rollback(b'{"to": 3.0}').to == 3
    for text in (b'{"to": 3.5}', b'{"to": 1e300}', b'{"to": true}'):
        assert refusal(bodies.rollback, text).code == "invalid"
