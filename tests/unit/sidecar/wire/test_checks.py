"""Single fields: what each check returns and what it refuses; the messages are tested with all of them."""

from __future__ import annotations

import pytest

from sidecar.wire import checks, names
from sidecar.wire.frames import ProtocolError


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (lambda body: checks.number(body, "k", 1, 9), [1, 9], [0, 10, True, 1.0, "1", None]),
        (lambda body: checks.text(body, "k", 3, 1), ["a", "abc"], ["", "abcd", b"a", 1, None]),
        (lambda body: checks.flag(body, "k"), [True, False], [0, 1, "true", None]),
        (lambda body: checks.name(body, "k"), ["a/b"], ["a", "a/..", b"a/b", None]),
        (lambda body: checks.versions(body, "k"), [{}, {"a/b": 1}], [[], {"a": 1}, {"a/b": 0}, {"a/b": True}, {1: 1}]),
        (lambda body: list(checks.versions_offered(body, "k")), [[1], [1, 2]], [[], [0], [True], ["1"], 1, [1] * 17]),
        (lambda body: list(checks.secrets(body, "k")), [[], ["a/b"]], [{}, ["a"], [1], ["a/b"] * 2049, "a/b"]),
        (lambda body: checks.word(body, "k", ("run", "init"), "neither"), ["run"], ["other", "", None, ["run"], 1]),
    ],
)
def test_a_field(check, good, bad):
    for value in good:
        assert check({"k": value}) == value
    for value in bad:
        with pytest.raises(ProtocolError) as caught:
            check({"k": value})
        assert str(caught.value).startswith("k is ")
    with pytest.raises(ProtocolError):
        check({})


def test_the_fields_of_a_secret():
    assert checks.fields({"fields": {"value": b"x"}}) == {"value": b"x"}
    for value in ({}, [], {"..": b""}, {"a": "text"}, {"a": bytes(names.MAX_SECRET_BYTES + 1)}):
        with pytest.raises(ProtocolError):
            checks.fields({"fields": value})
