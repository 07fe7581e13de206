"""`safe apply` as a real process against a real HTTPS server."""

from __future__ import annotations

import json


def test_apply_twice(safe, server, tmp_path):
    (tmp_path / "pw").write_bytes(b"from a file\n")
    file = tmp_path / "secrets.yaml"
    file.write_text("secrets:\n  a/b:\n    fields: {user: me, pw: {file: pw}}\n    for: [a/x]\n  a/c: {value: '1'}\n")
    result = safe("apply", "-f", str(file))
    assert result.code == 0, result.error
    assert [line.split() for line in result.text.splitlines()[1:]] == [["a/b", "1", "created"], ["a/c", "1", "created"]]
    assert server.node.value("a/b") == {"user": b"me", "pw": b"from a file\n"}
    index = server.node.raft.index
    again = json.loads(
        safe(
            "apply", "-f", "-", "--json", stdin=file.read_bytes().replace(b"file: pw", b"base64: ZnJvbSBhIGZpbGUK")
        ).text
    )
    assert [one["result"] for one in again["secrets"]] == ["unchanged", "unchanged"] and server.node.raft.index == index


def test_what_is_refused_changes_nothing(safe, server, tmp_path):
    file = tmp_path / "secrets.yaml"
    file.write_text("secrets: {a/b: {value: hunter2}, a/c: {value: {file: none}}}")
    for args, stdin, code in (
        (("-f", str(file)), b"", 2),
        (("-f", str(tmp_path / "none")), b"", 2),
        ((), b"", 2),
        (("-f", "-"), b"secrets: {a/b: {value: hunter2}, a/b: {value: x}}", 2),
        (("-f", "-"), b"#" * ((4 << 20) + 1), 2),
        (("-f", "-"), b"secrets: {a/b: {fields: {x: " + b"h" * 700_000 + b", y: " + b"h" * 700_000 + b"}}}", 1),
    ):
        result = safe("apply", *args, stdin=stdin)
        assert result.code == code and "hint: " in result.error and "hunter2" not in result.error, result.error
    assert len(server.node.store) == 0
