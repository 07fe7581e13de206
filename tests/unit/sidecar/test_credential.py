"""Tokens as the sidecar reads them: unverified, never shown."""

from __future__ import annotations

import time

import pytest

from sidecar import credential
from sidecar.credential import CredentialError, next_look, parse, read


def test_namespace_and_expiry(token):
    text = token("shop", "web", lifetime=100)
    held = parse(text)
    assert held.namespace == "shop" and held.token == text
    assert abs(held.expires - time.time() - 100) < 30
    assert text not in repr(held)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.!!!.c",
        "a.bnVsbA.c",
        "a.W10.c",
        "a.eyJzdWIiOjF9.c",
        "a.eyJzdWIiOiJ4In0.c",
        "a.____.c",
    ],
)
def test_what_cannot_be_read_is_left_out(text):
    assert parse(text) == credential.Credential(text, "", None)


@pytest.mark.parametrize("expires", ["1", None, True, [], -5, 1e300, 0])
def test_a_strange_expiry_is_none(expires, monkeypatch):
    import base64
    import json

    body = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    assert parse(f"a.{body}.c").expires in (None, 1.0)


def test_a_file_is_read_anew_and_stripped(tmp_path, token):
    path = tmp_path / "token"
    path.write_text(token(mark="1") + "\n")
    first = read(str(path))
    path.write_text(token(mark="2"))
    assert first.token != read(str(path)).token and not first.token.endswith("\n")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * (16 * 1024 + 1)])
def test_a_file_that_holds_no_token(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(CredentialError, match="token"):
        read(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CredentialError, match="cannot be read: No such file"):
        read(str(tmp_path / "none"))


def test_looks_get_closer_as_the_end_does():
    assert next_look(None) == credential.CHECK_MAX == next_look(86400)
    assert next_look(400) == 200
    assert next_look(0) == next_look(-9) == credential.CHECK_MIN


def test_the_kubelets_renewal_is_seen_in_time():
    """A token renewed at 80 % of its life is noticed with at least a tenth of it left."""
    for life in (600.0, 3600.0, 86400.0):
        at = 0.0
        while at < 0.8 * life:
            at += next_look(life - at)
        assert at <= 0.9 * life + credential.CHECK_MIN
