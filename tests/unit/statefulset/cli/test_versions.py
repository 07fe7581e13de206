"""patch, history, rollback, reveal and the sources of put, as a real process against a real HTTPS server."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
import time

import pytest


def screen(safe, *args):
    """Exit code and everything shown, with a terminal as standard output and no standard input."""
    child, descriptor = pty.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execve(sys.executable, [sys.executable, "-m", "statefulset.cli", *args], safe.env)
    shown = b""
    try:
        while data := os.read(descriptor, 4096):
            shown += data
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def test_patch_changes_single_fields(safe, server, tmp_path):
    (tmp_path / "new").write_bytes(b"new\n")
    safe("put", "a/b", "--from-json", "-", stdin=b'{"user": "me", "pw": "old", "x": "y"}')
    result = safe("patch", "a/b", "--from-file", f"pw={tmp_path / 'new'}", "--remove", "x", stdin=b"unread")
    assert (result.code, result.text) == (0, "a/b is at version 2 (4 bytes; without x)\n"), result.error
    assert server.node.value("a/b") == {"user": b"me", "pw": b"new\n"}
    assert safe("patch", "a/b", "--field", "user", stdin=b"you").code == 0
    assert server.node.value("a/b") == {"user": b"you", "pw": b"new\n"}
    assert safe("patch", "a/b", "--remove", "user", "--if-version", "2").code == 1
    assert safe("patch", "a/b", "--remove", "none").code == 1
    assert safe("patch", "a/b", "--remove", "pw", "--field", "pw", stdin=b"x").code == 2
    assert safe("patch", "a/b", "--remove", "no field").code == 2
    assert server.node.store.get("a/b").version == 3


def test_windows(safe, server):
    result = safe("put", "a/b", "--not-before", "2027-01-31T12:00:00Z", "--expires", "2098-01-31T12:00:00Z", stdin=b"1")
    assert result.code == 0, result.error
    record = server.node.store.get("a/b")
    assert (record.not_before_ms, record.expires_ms) == (1_801_396_800_000, 4_042_008_000_000)
    assert safe("put", "a/b", "--keep-window", stdin=b"2").code == 0
    assert server.node.store.get("a/b").expires_ms == 4_042_008_000_000
    before = time.time()
    assert safe("patch", "a/b", "--expires", "90d", "--not-before", "never").text.endswith("(window changed)\n")
    record = server.node.store.get("a/b")
    assert record.version == 2 and record.not_before_ms is None
    assert 0 <= record.expires_ms / 1000 - before - 90 * 86_400 < 120
    result = safe("put", "a/b", stdin=b"3")
    assert result.code == 0 and "--keep-window" in result.error
    assert server.node.store.get("a/b").expires_ms is None
    for wrong in ("tomorrow", "2027-02-28", "hunter2"):
        result = safe("put", "a/b", "--expires", wrong, stdin=b"3")
        assert result.code == 2 and "30d" in result.error and wrong not in result.error


def test_a_generated_value_is_shown_only_if_asked_for(safe, server):
    result = safe("put", "a/b", "--generate", "pw=[A-Z]{40}", "--generate", "pin=[0-9]{4}", stdin=b"unread")
    value = server.node.value("a/b")
    assert result.code == 0 and value["pw"].isalpha() and len(value["pw"]) == 40
    assert value["pw"] not in result.out + result.err and "pin has less than 64 bits" in result.error
    result = safe("patch", "a/b", "--generate", "pw=[A-Z]{40}", "--show-generated")
    assert result.text.splitlines()[1] == f"pw={server.node.value('a/b')['pw'].decode()}"
    assert server.node.value("a/b")["pin"] == value["pin"] and server.node.value("a/b")["pw"] != value["pw"]
    result = safe("patch", "a/b", "--generate", "pw=[A-Z]{40}", "--show-generated", "--json")
    assert json.loads(result.text)["generated"] == {"pw": server.node.value("a/b")["pw"].decode()}
    for wrong in ("pw=secret", "pw", "pw=[A-Z", "pw="):
        assert safe("put", "a/b", "--generate", wrong).code == 2


def test_sources_go_together(safe, server, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "tls.crt").write_bytes(b"c")
    (tmp_path / "env").write_text("A=1\n")
    args = ("--from-dir", str(folder), "--from-env-file", str(tmp_path / "env"), "--from-json", "-")
    assert safe("put", "a/b", *args, "--generate", "k=[ab]{70}", stdin=b'{"j": "2"}').code == 0
    value = server.node.value("a/b")
    assert {key: value[key] for key in ("tls.crt", "A", "j")} == {"tls.crt": b"c", "A": b"1", "j": b"2"}
    for more, stdin in (
        (("--generate", "A=[ab]{70}"), b'{"j": "2"}'),
        (("--field", "x"), b'{"j": "2"}'),
        ((), b'{"A": "hunter2"}'),
        ((), b"hunter2"),
    ):
        result = safe("put", "a/b", *args, *more, stdin=stdin)
        assert result.code == 2 and "hunter2" not in result.error
    assert server.node.store.get("a/b").version == 1


def test_reveal_is_byte_for_byte(safe, server):
    value = bytes(range(256)) + b"\n\r\n"
    safe("put", "a/b", stdin=b"older")
    safe("put", "a/b", stdin=value)
    result = safe("get", "a/b", "--reveal")
    assert (result.code, result.out, result.err) == (0, value, b"")
    assert safe("get", "a/b", "--reveal", "--version", "1").out == b"older"
    assert json.loads(safe("get", "a/b", "--reveal", "--json").text)["fields"] == {
        "value": base64.b64encode(value).decode()
    }
    safe("put", "a/c", "--from-json", "-", stdin=b'{"user": "me", "pw": "s3"}')
    result = safe("get", "a/c", "--reveal")
    assert result.code == 2 and "pw, user" in result.error and result.out == b"" and "s3" not in result.error
    assert safe("get", "a/c", "--reveal", "--field", "pw").out == b"s3"
    assert safe("get", "a/c", "--reveal", "--field", "x").code == 1
    assert safe("get", "a/c", "--field", "pw").code == 2


def test_a_terminal_gets_a_value_only_if_told_to(safe, server):
    safe("put", "a/b", stdin=b"s3cret\x1b[31m")
    code, shown = screen(safe, "get", "a/b", "--reveal")
    assert code == 2 and b"s3cret" not in shown and b"--to-terminal" in shown
    code, shown = screen(safe, "get", "a/b", "--reveal", "--to-terminal")
    assert code == 0 and shown == b"s3cret?[31m\r\n"


def test_a_lost_output_is_no_success(safe):
    safe("put", "a/b", stdin=b"s3cret")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "statefulset.cli", "get", "a/b", "--reveal"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=safe.env, timeout=60, check=False)
    assert done.returncode == 1 and b"s3cret" not in done.stderr


def test_history_and_rollback(safe, server):
    assert safe("history", "a/b").code == 1
    for number in (1, 2, 3):
        safe("put", "a/b", stdin=b"v" * number)
    lines = [line.split() for line in safe("history", "a/b").text.splitlines()]
    assert [(line[0], line[2:]) for line in lines[1:]] == [
        ("3", ["value", "(3", "bytes)", "current"]),
        ("2", ["value", "(2", "bytes)", "kept"]),
        ("1", ["value", "(1", "byte)", "kept"]),
    ]
    assert safe("rollback", "a/b").text == "a/b is at version 4, with the fields of version 3\n".replace("3", "2", 1)
    assert server.node.value("a/b") == {"value": b"vv"}
    assert safe("rollback", "a/b", "--to", "1", "--if-version", "3").code == 1
    assert safe("rollback", "a/b", "--to", "1").code == 0
    assert server.node.value("a/b") == {"value": b"v"}
    safe("put", "a/c", stdin=b"1")
    result = safe("rollback", "a/c")
    assert result.code == 1 and "no older version" in result.error


def test_list_for_a_workload(safe):
    safe("put", "a/one", "--for", "a/x", stdin=b"1")
    safe("put", "a/two", "--for", "a/*", stdin=b"1")
    safe("put", "b/one", "--for", "a/y", stdin=b"1")
    found = [record["name"] for record in json.loads(safe("list", "--for", "a/x", "--json").text)["secrets"]]
    assert found == ["a/one", "a/two"]


@pytest.mark.parametrize(("typed", "names"), [("a/", ["a/one", "a/two"]), ("a/t", ["a/two"]), ("", None), ("B", [])])
def test_names_of_secrets_are_completed(safe, typed, names):
    for name in ("a/one", "a/two", "b/one"):
        safe("put", name, stdin=b"1")
    words = {"_SAFE_COMPLETE": "bash_complete", "COMP_WORDS": f"safe get {typed}", "COMP_CWORD": "2"}
    result = safe(**words)
    found = [line.partition(",")[2] for line in result.text.splitlines() if line]
    assert found == (["a/one", "a/two", "b/one"] if names is None else names) and result.err == b""


def test_completion_without_a_store_is_quiet(make_safe, nowhere):
    words = {"_SAFE_COMPLETE": "bash_complete", "COMP_WORDS": "safe get a", "COMP_CWORD": "2"}
    result = make_safe(nowhere)(**words)
    assert (result.out.strip(), result.err) == (b"", b"")
