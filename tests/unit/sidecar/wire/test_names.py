"""Names: what becomes a path, and what never does."""

from __future__ import annotations

import pytest

from sidecar.wire import names


@pytest.mark.parametrize("name", ["a/b", "shop/db", "a-1/b.c-d", "x" * 63 + "/" + "y" * 253, "0/0"])
def test_good_names(name):
    assert names.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["", "/", "a", "a/", "/b", "a/b/c", "A/b", "a/B", "-a/b", "a-/b", "a/.b", "a/b.", "a/b..c", "a/../b", "../a"],
)
def test_bad_names(name):
    assert not names.is_secret(name)


@pytest.mark.parametrize("name", ["a/b\n", "a/b\0", "x" * 64 + "/b", "a/" + "y" * 254, "a.b/c", "a/é", "@a/b", "a/b "])
def test_names_that_only_look_good(name):
    assert not names.is_secret(name)


@pytest.mark.parametrize("name", ["value", "tls.crt", "A", "0", "a_b-C", "x" * 253])
def test_good_fields(name):
    assert names.is_field(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "_a", "-a", "a/b", "a..b", "a\n", "a\0", "x" * 254, "é"])
def test_bad_fields(name):
    assert not names.is_field(name)


def test_a_namespace_is_a_dns_label():
    assert names.is_namespace("a-b") and not names.is_namespace("a.b") and not names.is_namespace("a-")
