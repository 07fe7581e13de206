"""One id for one request, and a key that comes with two."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from node.admin import repeats
from node.admin.repeats import Repeats
from node.errors import Rejected

FRESH = bytes(16)
SECRET = b"s" * 32


def keyed(*keys: str, path: str = "/v1/secrets/a/b", method: str = "PUT"):
    return make_mocked_request(method, path, headers=CIMultiDict([("Idempotency-Key", key) for key in keys]))


def code(repeats: Repeats, *args: object) -> str:
    with pytest.raises(Rejected) as refused:
        repeats.id(*args)
    assert refused.value.hint
    return refused.value.code


def test_ids_are_one_for_each_key_subject_route_and_part_and_the_same_on_every_node():
    known = Repeats(SECRET)
    one = known.id(keyed("k"), "me", b"{}", FRESH)
    assert len(one) == 16 and one == known.id(keyed("k"), "me", b"{}", b"x" * 16)
    assert one == Repeats(SECRET).id(keyed("k"), "me", b"{}", b"y" * 16)
    others = {
        known.id(keyed("k2"), "me", b"{}", FRESH),
        known.id(keyed("k"), "you", b"{}", FRESH),
        known.id(keyed("k", path="/v1/secrets/a/c"), "me", b"{}", FRESH),
        known.id(keyed("k", method="DELETE"), "me", b"{}", FRESH),
        known.id(keyed("k"), "me", b"{}", FRESH, "add"),
        Repeats(b"t" * 32).id(keyed("k"), "me", b"{}", FRESH),
    }
    assert len(others) == 6 and one not in others


def test_a_key_with_another_request_is_refused_and_where_it_was_not_seen_it_is_another_id():
    known = Repeats(SECRET)
    one = known.id(keyed("k"), "me", b"1", FRESH)
    assert code(known, keyed("k"), "me", b"2", FRESH) == "key_reused"
    assert code(known, keyed("k", path="/v1/secrets/a/b?if_version=1"), "me", b"1", FRESH) == "key_reused"
    assert known.id(keyed("k"), "me", b"1", FRESH) == one
    assert Repeats(SECRET).id(keyed("k"), "me", b"2", FRESH) != one
    # A query and a body that read the same one after the other are not the same.
    assert Repeats(SECRET).id(keyed("k", path="/v1/secrets/a/b?x"), "me", b"", FRESH) != Repeats(SECRET).id(
        keyed("k"), "me", b"x", FRESH
    )


def test_keys_are_forgotten_the_oldest_first(monkeypatch):
    monkeypatch.setattr(repeats, "KEYS", 3)
    known = Repeats(SECRET)
    for number in range(10):
        known.id(keyed(f"k{number}"), "me", b"", FRESH)
    assert len(known._seen) == 3
    assert code(known, keyed("k9"), "me", b"other", FRESH) == "key_reused"
    known.id(keyed("k0"), "me", b"other", FRESH)


def test_without_a_key_the_id_is_the_fresh_one_and_nothing_is_remembered():
    fresh, known = b"f" * 16, Repeats(SECRET)
    assert known.id(keyed(), "me", b"1", fresh) == fresh == known.id(keyed(), "me", b"2", fresh)
    assert known.id(keyed(), "me", b"", fresh, "add") != known.id(keyed(), "me", b"", fresh, "remove")
    assert not known._seen


def test_odd_keys_are_refused():
    for keys in (("",), ("x" * 256,), ("é",), ("a\tb",), ("a", "b")):
        assert code(Repeats(SECRET), keyed(*keys), "me", b"", FRESH) == "invalid"
