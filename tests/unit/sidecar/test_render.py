"""Formats: vectors checked by hand. That real parsers read back what was meant is in tests/model/sidecar."""

from __future__ import annotations

import pytest

from sidecar import render as module
from sidecar.render import RenderError, needed, render
from sidecar.rules import Rule

ONE = {"shop/db": {"user": b"u", "pass-word": b"it's $HOME\nx"}}
MANY = {"shop/db": {"user": b"u"}, "shop/api-key": {"value": b"k v"}, "other/db": {"user": b"o"}}


def made(kind, secrets, names=(), **more):
    return render(Rule("f", kind, tuple(names), **more), secrets, "shop").decode()


def test_one_secret_named_gives_its_fields():
    assert made("env", ONE, ["shop/db"]) == "PASS_WORD='it'\\''s $HOME\nx'\nUSER=u\n"
    assert made("json", ONE, ["db"]) == '{\n  "pass-word": "it\'s $HOME\\nx",\n  "user": "u"\n}\n'
    assert made("yaml", ONE, ["db"]) == '"pass-word": "it\'s $HOME\\nx"\n"user": "u"\n'
    assert made("properties", ONE, ["db"]) == "pass-word=it's $HOME\\nx\nuser=u\n"


def test_several_or_all_go_behind_their_names():
    assert made("env", MANY) == "OTHER_DB_USER=o\nAPI_KEY='k v'\nDB_USER=u\n"
    assert made("docker-env", MANY) == "OTHER_DB_USER=o\nAPI_KEY=k v\nDB_USER=u\n"
    assert made("yaml", MANY) == '"other":\n  "db":\n    "user": "o"\n"api-key": "k v"\n"db":\n  "user": "u"\n'
    assert made("properties", MANY) == "other.db.user=o\napi-key=k v\ndb.user=u\n"
    assert made("env", {"shop/db": {"user": b"u"}}) == "DB_USER=u\n", "the rule decides, not how many there are"


def test_a_plain_value_goes_by_its_name():
    assert made("env", {"other/1st": {"value": b"x"}}, ["other/1st"]) == "_1ST=x\n"
    assert made("json", {"shop/db": {"value": b"x"}}, ["db"]) == '{\n  "db": "x"\n}\n'


def test_nothing_is_an_empty_file_of_the_format():
    assert [made(kind, {}) for kind in ("env", "docker-env", "json", "yaml", "properties")] == [
        "", "", "{}\n", "{}\n", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sh"),
    [("", ""), ("a", "a"), ("a b", "'a b'"), ("$x", "'$x'"), ("'", "''\\'''"), ("a\\", "'a\\'"), ("~", "'~'"), ("#", "'#'")],
)  # fmt: skip
def test_shell_words(text, sh):
    assert module.sh(text) == sh


@pytest.mark.parametrize(
    ("text", "yaml"),
    [
        ("no", '"no"'), ("1e3", '"1e3"'), ("~", '"~"'), ("0x1f", '"0x1f"'), ("12:30:00", '"12:30:00"'), ("", '""'),
        ("a\tb\0", '"a\\tb\\x00"'), ("é", '"\\xe9"'), ("€", '"\\u20ac"'), ("😀", '"\\U0001f600"'), ("\x7f", '"\\x7f"'),
        ('"\\', '"\\"\\\\"'), ("\u2028", '"\\u2028"'),
    ],
)  # fmt: skip
def test_yaml_scalars_are_always_strings(text, yaml):
    assert module.quoted_yaml(text) == yaml


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        (" a b", "\\ a b"), ("a=b:c#d!e", "a\\=b\\:c\\#d\\!e"), ("\\", "\\\\"), ("\n\r\t\f", "\\n\\r\\t\\f"),
        ("é", "\\u00e9"), ("😀", "\\ud83d\\ude00"), ("\0", "\\u0000"), ("  ", "\\  "),
    ],
)  # fmt: skip
def test_java_properties(text, properties):
    assert module.properties(text) == properties


BINARY = {"shop/key": {"der": b"\xff\0canary", "name": b"x"}}


@pytest.mark.parametrize("kind", ["env", "docker-env", "json", "yaml", "properties"])
def test_bytes_need_a_choice(kind):
    with pytest.raises(RenderError, match="shop/key field der is not UTF-8") as caught:
        made(kind, BINARY)
    assert "canary" not in str(caught.value)
    assert "/wBjYW5hcnk" in made(kind, BINARY, base64=True).replace("\\", "") and "eA" in made(
        kind, BINARY, base64=True
    )


def test_what_a_format_cannot_hold_is_said_without_the_value():
    for kind, data in (("docker-env", b"canary\nx"), ("docker-env", b"canary\r"), ("env", b"canary\0")):
        with pytest.raises(RenderError) as caught:
            made(kind, {"shop/a": {"value": data}})
        assert "canary" not in str(caught.value) and str(caught.value).startswith("f: ")


def test_two_values_for_one_key_are_an_error():
    for kind, secrets in (
        ("env", {"shop/a-b": {"value": b"1"}, "shop/a.b": {"value": b"2"}}),
        ("properties", {"shop/a": {"b.c": b"1", "x": b""}, "shop/a.b": {"c": b"2", "x": b""}}),
        ("json", {"shop/other": {"db": b"1"}, "other/db": {"value": b"2"}}),
        ("yaml", {"shop/other": {"value": b"1"}, "other/db": {"value": b"2"}}),
    ):
        with pytest.raises(RenderError, match="would be"):
            made(kind, secrets)


def test_a_file_has_a_limit(monkeypatch):
    monkeypatch.setattr(module, "MAX_RENDERED", 100)
    with pytest.raises(RenderError, match="the limit is 100"):
        made("json", {"shop/a": {"value": b"x" * 100}})


def test_what_a_file_needs():
    assert needed(Rule("f", "env"), "shop", ["shop/b", "shop/a"]) == ["shop/a", "shop/b"]
    assert needed(Rule("f", "env", ("b", "shop/b")), "shop", ["shop/b"]) == ["shop/b"]
    with pytest.raises(RenderError, match="f: shop/x is not in place"):
        needed(Rule("f", "env", ("x",)), "shop", ["shop/b"])
