"""Any value in any format: real parsers read back exactly what was put in."""

from __future__ import annotations

import base64
import json
import re
import subprocess

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.render import render
from sidecar.rules import Rule

TRAPS = [
    "no",
    "on",
    "~",
    "null",
    "1e3",
    "0o7",
    "0x1f",
    "1_000",
    "12:30:00",
    "2001-01-01",
    "",
    " ",
    "'",
    '"',
    "\\",
    "\\n",
]
TEXT = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FIELD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True).filter(lambda name: ".." not in name)
FIELDS = st.dictionaries(FIELD | st.sampled_from(["no", "y", "1", "null"]), TEXT, min_size=1, max_size=5)


def made(kind, fields, **more):
    data = {name: text.encode() for name, text in fields.items()}
    return render(Rule("f", kind, ("a/b",), **more), {"a/b": data}, "a")


def named(fields):
    """A plain value goes by the secret's name."""
    return {"b": fields["value"]} if fields.keys() == {"value"} else fields


@given(FIELDS)
def test_json(fields):
    assert json.loads(made("json", fields)) == named(fields)


@given(FIELDS)
def test_yaml(fields):
    assert yaml.safe_load(made("yaml", fields)) == named(fields)


@given(FIELDS)
def test_base64(fields):
    found = json.loads(made("json", fields, base64=True))
    assert {name: base64.b64decode(text, validate=True).decode() for name, text in found.items()} == named(fields)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT.map(lambda text: text.replace("\0", "")), min_size=1, max_size=6))
def test_env_sourced_by_a_shell(texts):
    fields = {f"f{number}": text for number, text in enumerate(texts)}
    script = made("env", fields) + b'for n in "$@"; do eval "printf \'%s\\\\0\' \\"\\$$n\\""; done'
    names = [name.upper() for name in fields]
    done = subprocess.run(["sh", "-c", script, "sh", *names], capture_output=True, check=True, env={})
    assert done.stdout == b"".join(text.encode() + b"\0" for text in texts) and done.stderr == b""


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=30), min_size=1)
)
def test_docker_env(texts):
    """As docker's cli reads it: lines by bufio.ScanLines, white space before the name dropped, split at the first `=`."""
    fields = {f"f{number}": text for number, text in enumerate(texts)}
    lines = made("docker-env", fields).decode().split("\n")
    assert lines.pop() == ""
    assert dict(line.split("=", 1) for line in lines) == {name.upper(): text for name, text in fields.items()}


@given(FIELDS)
def test_properties(fields):
    assert load_properties(made("properties", fields)) == named(fields)


def load_properties(data):
    """java.util.Properties.load(InputStream), written from its documentation alone: ISO 8859-1, logical lines, key up
    to the first unescaped `=`, `:` or white space."""
    logical, lines = [], re.split(r"\r\n|\r|\n", data.decode("latin-1"))
    while lines:
        line = lines.pop(0).lstrip(" \t\f")
        if not line or line[0] in "#!":
            continue
        while (len(line) - len(line.rstrip("\\"))) % 2 and lines:
            line = line[:-1] + lines.pop(0).lstrip(" \t\f")
        logical.append(line)
    out = {}
    for line in logical:
        match = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
        out[unescape(match[1])] = unescape(match[2])
    return out


def unescape(text):
    def one(match):
        escape = match[1]
        if escape[0] == "u":
            return chr(int(escape[1:], 16))
        return {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}.get(escape, escape)

    units = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", one, text, flags=re.DOTALL)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
