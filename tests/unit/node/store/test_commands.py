"""Commands: every limit refuses when one is built, what was built comes back from its bytes, junk never does."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.errors import Rejected
from node.store import commands as c

COMMON: dict[str, Any] = {"rid": bytes(16), "t": 5, "actor": "me"}
CONTENT: dict[str, Any] = {"fields": (("value", 3),), "generation": 1, "write_id": b"w", "sealed": b"CANARY"}


def put(**more: Any) -> c.Put:
    return c.Put(**{**COMMON, "name": "a/b", **CONTENT, **more})


def batch(**more: Any) -> c.Batch:
    return c.Batch(**{**COMMON, "expect": (("a/b", 3),), "changes": (put(),), **more})


EVERY: list[c.Command] = [
    put(),
    put(grants=(), if_version=0, not_before_ms=1, expires_ms=2),
    put(grants=["b/c", "*/*", "a/*", "*/x", "b/c"], fields=[("z", 0), ("A", 1 << 20)]),
    c.PatchMeta(**COMMON, name="a/b", expires_ms=None),
    c.PatchMeta(**COMMON, name="a/b", not_before_ms=7),
    c.Delete(**COMMON, name="a/b"),
    c.Delete(**COMMON, name="a/b", if_version=3),
    c.Undelete(**COMMON, name="a/b"),
    c.Purge(**COMMON, name="a/b", if_version=1),
    c.Grant(**COMMON, name="a/b", grants=("x/y",)),
    c.Revoke(**COMMON, name="a/b", grants=("x/y",)),
    c.Rollback(**COMMON, name="a/b", to=2, if_version=9),
    c.AddKey(**COMMON, generation=4, wrapped=b"k"),
    put(not_before_ms=c.KEEP, expires_ms=9),
    c.PatchMeta(**COMMON, name="a/b", expires_ms=None, if_version=2),
    c.Batch(
        **COMMON,
        expect=(("a/c", 7), ("a/b", 0)),
        changes=(
            put(expires_ms=c.KEEP),
            c.Grant(**COMMON, name="a/c", grants=("x/y",)),
            c.Revoke(**COMMON, name="a/c", grants=("x/z",)),
            c.PatchMeta(**COMMON, name="a/c", not_before_ms=None),
        ),
    ),
]


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.op)
def test_a_command_comes_back_from_its_bytes(command: c.Command) -> None:
    assert c.decode(c.encode(command)) == command
    assert c.encode(c.decode(c.encode(command))) == c.encode(command)


def test_fields_and_grants_are_kept_sorted() -> None:
    command = EVERY[2]
    assert isinstance(command, c.Put)
    assert command.fields == (("A", 1 << 20), ("z", 0)) and command.grants == ("*/*", "*/x", "a/*", "b/c")


def test_clearing_a_bound_is_not_keeping_it() -> None:
    patch = c.decode(c.encode(c.PatchMeta(**COMMON, name="a/b", expires_ms=None)))
    assert isinstance(patch, c.PatchMeta) and patch.expires_ms is None and patch.not_before_ms is c.KEEP


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"rid": bytes(15)}, "invalid"),
        ({"rid": "x" * 16}, "invalid"),
        ({"t": -1}, "invalid"),
        ({"t": 1.5}, "invalid"),
        ({"t": True}, "invalid"),
        ({"t": 1 << 53}, "invalid"),
        ({"actor": "a\nb"}, "invalid"),
        ({"actor": "\ud800"}, "invalid"),
        ({"actor": "x" * 513}, "invalid"),
        ({"name": "a"}, "invalid"),
        ({"name": "A/b"}, "invalid"),
        ({"name": "a/b/c"}, "invalid"),
        ({"name": "a/b..c"}, "invalid"),
        ({"name": "a/b\n"}, "invalid"),
        ({"name": 5}, "invalid"),
        ({"fields": ()}, "invalid"),
        ({"fields": {"value": 1}}, "invalid"),
        ({"fields": (("value", 1), ("value", 2))}, "invalid"),
        ({"fields": (("..", 1),)}, "invalid"),
        ({"fields": (("value", -1),)}, "invalid"),
        ({"fields": (("value",),)}, "invalid"),
        ({"fields": tuple((f"f{n}", 0) for n in range(65))}, "too_large"),
        ({"fields": (("a", 1 << 20), ("b", 1))}, "too_large"),
        ({"grants": ("a",)}, "invalid"),
        ({"grants": "a/b"}, "invalid"),
        ({"grants": ("a/b*",)}, "invalid"),
        ({"grants": ("A/b",)}, "invalid"),
        ({"grants": ("*",)}, "invalid"),
        ({"grants": (1,)}, "invalid"),
        ({"grants": tuple(f"a/s{n}" for n in range(4097))}, "too_large"),
        ({"generation": -1}, "invalid"),
        ({"write_id": b""}, "invalid"),
        ({"write_id": bytes(65)}, "too_large"),
        ({"sealed": b""}, "invalid"),
        ({"sealed": "CANARY"}, "invalid"),
        ({"sealed": bytes(c.MAX_SEALED + 1)}, "too_large"),
        ({"if_version": -1}, "invalid"),
        ({"not_before_ms": -1}, "invalid"),
        ({"expires_ms": "keep"}, "invalid"),
        ({"not_before_ms": 5, "expires_ms": 5}, "invalid"),
    ],
)
def test_a_put_that_breaks_a_limit_cannot_be_built(more: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        put(**more)
    assert caught.value.code == code and "CANARY" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "build",
    [
        lambda: c.PatchMeta(**COMMON, name="a/b"),
        lambda: c.PatchMeta(**COMMON, name="a/b", not_before_ms=9, expires_ms=3),
        lambda: c.PatchMeta(**COMMON, name="a/b", expires_ms=3, if_version=0),
        lambda: batch(expect=()),
        lambda: batch(expect=(("a/b", 1), ("a/b", 2))),
        lambda: batch(expect=(("a/b", -1),)),
        lambda: batch(expect=(("b", 1),)),
        lambda: batch(expect=tuple((f"a/{number}", 0) for number in range(c.MAX_BATCH + 1))),
        lambda: batch(expect=(("a/c", 1),)),
        lambda: batch(changes=()),
        lambda: batch(changes=[put()]),
        lambda: batch(changes=(put(),) * (4 * c.MAX_BATCH + 1)),
        lambda: batch(changes=(put(t=6),)),
        lambda: batch(changes=(put(actor="you"),)),
        lambda: batch(changes=(put(rid=b"x" * 16),)),
        lambda: batch(changes=(c.Delete(**COMMON, name="a/b"),)),
        lambda: batch(changes=(batch(),)),
        lambda: c.Delete(**COMMON, name="a/b", if_version=0),
        lambda: c.Purge(**COMMON, name="a/b", if_version="1"),
        lambda: c.Grant(**COMMON, name="a/b", grants=()),
        lambda: c.Revoke(**COMMON, name="a/b", grants=()),
        lambda: c.Rollback(**COMMON, name="a/b", to=0),
        lambda: c.Rollback(**COMMON, name="a/b", to=1, if_version=0),
        lambda: c.AddKey(**COMMON, generation=-1, wrapped=b"k"),
        lambda: c.AddKey(**COMMON, generation=1 << 31, wrapped=b"k"),
        lambda: c.AddKey(**COMMON, generation=1, wrapped=b""),
        lambda: c.AddKey(**COMMON, generation=1, wrapped=bytes(1025)),
    ],
)
def test_the_others_cannot_be_built_wrong_either(build: Any) -> None:
    with pytest.raises(Rejected):
        build()


@pytest.mark.parametrize("change", [{"op": "nope"}, {"op": 5}, {"more": 1}, {"name": None}, {"t": "5"}, {"fields": 7}])
def test_a_changed_map_is_no_command(change: dict[str, Any]) -> None:
    body = {**msgpack.unpackb(c.encode(put())), **change}
    with pytest.raises(Rejected):
        c.decode(msgpack.packb(body))


def test_a_missing_key_is_no_command() -> None:
    body = msgpack.unpackb(c.encode(put()))
    for key in body:
        with pytest.raises(Rejected):
            c.decode(msgpack.packb({name: value for name, value in body.items() if name != key}))


def test_the_largest_command_fits_what_decode_takes() -> None:
    grants = tuple(f"{'n' * 63}/{'s' * 248}-{n:04}" for n in range(4096))
    fields = tuple((f"{'f' * 250}-{n:02}", (1 << 20) // 64) for n in range(64))
    data = c.encode(put(grants=grants, fields=fields, sealed=bytes(c.MAX_SEALED), actor="x" * c.MAX_ACTOR))
    assert len(data) < c.MAX_COMMAND
    assert c.encode(c.decode(data)) == data
    with pytest.raises(Rejected):
        c.decode(bytes(c.MAX_COMMAND + 1))


def test_a_batch_that_is_too_large_is_not_encoded() -> None:
    names = [f"a/{number}" for number in range(3)]
    changes = tuple(put(name=name, sealed=bytes(c.MAX_SEALED)) for name in names)
    with pytest.raises(Rejected) as caught:
        c.encode(batch(expect=tuple((name, 0) for name in names), changes=changes))
    assert caught.value.code == "too_large" and caught.value.hint


@pytest.mark.parametrize(
    "part",
    [
        7,
        {"op": "put"},
        {"op": "purge", "name": "a/b"},
        {"op": "add_key", "generation": 1, "wrapped": b"k"},
        {"op": "grant", "name": "a/b", "grants": ["x/y"], "t": 5},
        {"op": "grant", "name": "a/c", "grants": ["x/y"]},
        {"op": "batch", "expect": [["a/b", 0]], "changes": []},
    ],
)
def test_what_a_batch_may_not_hold_is_not_decoded(part: Any) -> None:
    body = msgpack.unpackb(c.encode(batch()))
    good = {"op": "grant", "name": "a/b", "grants": ["x/y"]}
    assert c.decode(msgpack.packb({**body, "changes": [good]}))
    with pytest.raises(Rejected):
        c.decode(msgpack.packb({**body, "changes": [good, part]}))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 60) | st.binary(max_size=20) | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KEYS = [
    "op",
    "rid",
    "t",
    "actor",
    "name",
    "fields",
    "generation",
    "write_id",
    "sealed",
    "grants",
    "if_version",
    "to",
    "changes",
    "expect",
]


@given(st.binary(max_size=60))
@example(b"\x81\xa2op\xc1")
@example(b"\x91" * 5000)
def test_junk_is_rejected_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Rejected):
        c.decode(data)


@given(st.sampled_from(EVERY), st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=3))
def test_a_map_with_junk_is_rejected_or_a_command(command: c.Command, junk: dict[str, Any]) -> None:
    body = {**msgpack.unpackb(c.encode(command)), **junk}
    try:
        parsed = c.decode(msgpack.packb(body))
    except Rejected:
        return
    assert c.decode(c.encode(parsed)) == parsed
