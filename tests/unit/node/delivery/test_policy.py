from __future__ import annotations

import pytest

from node.delivery import policy


@pytest.mark.parametrize("grant", ["shop/web", "shop/*", "*/web", "*/*"])
def test_whole_parts_or_a_star_match(make_record, grant):
    assert policy.entitled(make_record("a/b", grants=(grant,)), "shop", "web", 0) == (True, "")


@pytest.mark.parametrize(
    "grant",
    ["", "*", "/", "shop", "shop/", "/web", "sho*/web", "shop/w*", "shop/web/", "SHOP/web", "shop/web ", "**/web",
     "shop/webx", "other/web", "shop/other", "shop/?eb"],
)  # fmt: skip
def test_nothing_else_matches(make_record, grant):
    assert policy.entitled(make_record("a/b", grants=(grant,)), "shop", "web", 0) == (False, "not_granted")


def test_nothing_is_granted_by_default_not_even_to_the_own_namespace(make_record):
    assert policy.entitled(make_record("shop/db"), "shop", "web", 0) == (False, "not_granted")


@pytest.mark.parametrize("identity", [("*", "web"), ("shop", "*"), ("shop/web", ""), ("", "shop/web"), ("*", "*")])
def test_an_identity_with_signs_of_a_pattern_matches_no_pattern_but_all(make_record, identity):
    grants = ("*/web", "shop/*", "shop/web", "/shop/web", "shop/web/")
    assert policy.entitled(make_record("a/b", grants=grants), *identity, 0) == (False, "not_granted")


def test_what_does_not_exist_is_not_found():
    assert policy.entitled(None, "shop", "web", 0) == (False, "not_found")


def test_window_is_half_open(make_record):
    record = make_record("a/b", grants=("*/*",), not_before_ms=10, expires_ms=20)
    answers = {at: policy.entitled(record, "n", "s", at) for at in (9, 10, 19, 20)}
    assert answers == {9: (False, "not_yet_valid"), 10: (True, ""), 19: (True, ""), 20: (False, "expired")}


def test_who_is_not_granted_learns_nothing_of_state(make_record):
    for state in ({"deleted": True}, {"not_before_ms": 10}, {"expires_ms": 0}):
        assert policy.entitled(make_record("a/b", **state), "n", "s", 5) == (False, "not_granted")


def test_deleted_comes_before_validity(make_record):
    record = make_record("a/b", grants=("n/s",), deleted=True, not_before_ms=10)
    assert policy.entitled(record, "n", "s", 5) == (False, "deleted")


def test_a_set_of_the_grants_decides_as_the_tuple_does(make_record):
    record = make_record("a/b", grants=("n/s",))
    assert policy.entitled(record, "n", "s", 5, frozenset(record.grants)) == (True, "")
    assert policy.entitled(record, "n", "t", 5, frozenset(record.grants)) == (False, "not_granted")


def test_next_change(make_record):
    record = make_record("a/b", grants=("*/*",), not_before_ms=10, expires_ms=20)
    assert [policy.next_change_ms(record, at) for at in (0, 9, 10, 19, 20, 99)] == [10, 10, 20, 20, None, None]
    assert policy.next_change_ms(make_record("a/b"), 0) is None
    assert policy.next_change_ms(make_record("a/b", deleted=True, expires_ms=9), 0) is None
    assert policy.next_change_ms(None, 0) is None


def test_next_change_is_exactly_when_the_answer_changes(make_record):
    record = make_record("a/b", grants=("*/*",), not_before_ms=7, expires_ms=13)
    for now in range(20):
        answer, upcoming = policy.entitled(record, "n", "s", now), policy.next_change_ms(record, now)
        changes = [at for at in range(now + 1, 20) if policy.entitled(record, "n", "s", at) != answer]
        assert upcoming == (changes[0] if changes else None)
