"""Files that declare secrets: every word is the text it is, and an error never repeats one."""

from __future__ import annotations

import base64

import pytest

from statefulset.cli import declared
from statefulset.cli.errors import CliError

CANARY = "hunter2canary"


def read_file(path: str) -> bytes:
    return {"pw": b"from a file\n"}[path]


def body(text: str):
    return declared.body(text.encode("utf-8", "surrogateescape"), read_file)["secrets"]


def fields(secret) -> dict[str, bytes]:
    return {name: base64.b64decode(value) for name, value in secret["fields"].items()}


def test_a_file():
    one, two = body(
        """
        secrets:
          payments/db:
            fields:
              user: app
              port: 5432
              octal: 007
              word: yes
              nothing: ~
              empty: ""
              text: "ä\\n"
              block: |
                -----BEGIN-----
                x
              password: {file: pw}
              key: {base64: "AP8 ="}
            for: [payments/api, 'payments/*', payments/api]
            not-before: 2027-01-31T12:00:00Z
            expires: never
          payments/token:
            value: s3cret
            for: []
        """
    )
    assert fields(one) == {
        "user": b"app",
        "port": b"5432",
        "octal": b"007",
        "word": b"yes",
        "nothing": b"~",
        "empty": b"",
        "text": "ä\n".encode(),
        "block": b"-----BEGIN-----\nx\n",
        "password": b"from a file\n",
        "key": b"\0\xff",
    }
    assert one["name"] == "payments/db" and one["grants"] == ["payments/api", "payments/*"]
    assert (one["not_before_ms"], one["expires_ms"]) == (1_801_396_800_000, None)
    assert two == {"name": "payments/token", "fields": {"value": "czNjcmV0"}, "grants": []}


def test_json_is_taken_too():
    assert body('{"secrets": {"a/b": {"value": "\\u00e4\\/\\"x"}}}') == [
        {"name": "a/b", "fields": {"value": base64.b64encode('ä/"x'.encode()).decode()}}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "secrets: []",
        "secrets: {}",
        f"secrets: {CANARY}",
        f"{CANARY}: 1\nsecrets: {{a/b: {{value: x}}}}",
        f"secrets: {{{CANARY}: {{value: x}}}}",
        f"secrets: {{a/b: {CANARY}}}",
        f"secrets: {{a/b: {{{CANARY}: x}}}}",
        f"secrets: {{a/b: {{value: {CANARY}, fields: {{x: y}}}}}}",
        "secrets: {a/b: {for: []}}",
        "secrets: {a/b: {fields: {}}}",
        f"secrets: {{a/b: {{fields: [{CANARY}]}}}}",
        f"secrets: {{a/b: {{fields: {{'{CANARY}/': x}}}}}}",
        f"secrets: {{a/b: {{value: [{CANARY}]}}}}",
        f"secrets: {{a/b: {{value: {{base64: '{CANARY}!'}}}}}}",
        f"secrets: {{a/b: {{value: {{file: pw, base64: {CANARY}}}}}}}",
        f"secrets: {{a/b: {{value: x, for: {CANARY}}}}}",
        f"secrets: {{a/b: {{value: x, for: [{CANARY}]}}}}",
        f"secrets: {{a/b: {{value: x, expires: {CANARY}}}}}",
        "secrets: {a/b: {value: x, expires: 30d}}",
        "secrets: {a/b: {value: x, expires: 2027-01-31}}",
        f"secrets: {{a/b: {{value: {CANARY}}}, a/b: {{value: x}}}}",
        f"secrets: {{a/b: {{value: {CANARY}, value: x}}}}",
        f"secrets: {{a/b: {{value: &x {CANARY}}}, a/c: {{value: *x}}}}",
        "secrets: {a/b: {value: !!binary aGVsbG8=}}",
        f"secrets: {{a/b: {{value: !{CANARY} x}}}}",
        f"secrets:\n  a/b: {{value: '{CANARY}\n",
        f"secrets: {{a/b: {{value: x}}}}\n---\n{CANARY}: 1",
        "{? [a] : x}",
        "[" * 3000,
        "\udcff",
        "a: \x01",
    ],
)
def test_what_is_refused(text):
    with pytest.raises(CliError) as caught:
        body(text)
    error = caught.value
    assert error.exit_code == 2 and error.hint and CANARY not in error.message + error.hint
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)


def test_the_line_is_named():
    with pytest.raises(CliError, match="line 2"):
        body("secrets:\n  a/b: c: d\n")
