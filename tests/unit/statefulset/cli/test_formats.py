"""JSON, .env and folders: what is read, and that what is ambiguous is refused without repeating it."""

from __future__ import annotations

import pytest

from statefulset.cli import formats
from statefulset.cli.errors import CliError

CANARY = "hunter2canary"


def refused(function, *args):
    with pytest.raises(CliError) as caught:
        function(*args)
    error = caught.value
    assert error.exit_code == 2 and error.hint and CANARY not in error.message + error.hint
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    return error.message


def test_json():
    data = b'{"user": "me", "pw": "\\u00e4\\n\\"", "empty": ""}'
    assert formats.from_json(data) == [("user", b"me"), ("pw", b'\xc3\xa4\n"'), ("empty", b"")]
    assert formats.from_json(b'{"a": "1", "a": "2"}') == [("a", b"1"), ("a", b"2")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"hunter2canary"',
        "{",
        '{"hunter2canary": 5}',
        '{"a": {"b": "hunter2canary"}}',
        '{"a": null}',
        "{}",
        '{"a": "\\ud800hunter2canary"}',
        "[" * 5000,
        "hunter2canary",
    ],
)
def test_what_is_no_json_object_of_texts(text):
    refused(formats.from_json, text.encode())
    refused(formats.from_json, b"\xff")


def test_env():
    text = (
        "# a comment\n\nUSER=me\nexport  PW='a b#$\\'\r\n  EMPTY=\n"
        'Q="a\\"b\\\\ \\$x\\n"\nURL=postgres://h:5432/db?x=y\nLAST=\'ä\''
    )
    assert formats.from_env(text.encode()) == [
        ("USER", b"me"),
        ("PW", b"a b#$\\"),
        ("EMPTY", b""),
        ("Q", b'a"b\\ $x\n'),
        ("URL", b"postgres://h:5432/db?x=y"),
        ("LAST", "ä".encode()),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "hunter2canary",
        "A B=hunter2canary",
        "A=hunter2canary x",
        "A=hunter2canary # why",
        "A=$hunter2canary",
        "A='hunter2canary",
        "A='hunter2'canary'",
        'A="hunter2canary',
        'A="$hunter2canary"',
        'A="\\xhunter2canary"',
        'A="hunter2canary\\"',
        "A=hunter2\\canary",
        "=hunter2canary",
        "A = hunter2canary",
        'A="hunter2"canary"',
        "A=`x`",
    ],
)
def test_lines_that_readers_take_differently(line):
    assert "line 2" in refused(formats.from_env, f"GOOD=1\n{line}\n".encode())


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"A=\xff", b"A=\0"])
def test_what_is_no_env_file(data):
    refused(formats.from_env, data)


def test_a_folder(tmp_path):
    (tmp_path / "tls.crt").write_bytes(b"\0\xff\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"no")
    (tmp_path / "..data").mkdir()
    (tmp_path / "link").symlink_to("tls.crt")
    found = formats.from_folder(tmp_path, 100)
    assert found == [("empty", b""), ("link", b"\0\xff\n"), ("tls.crt", b"\0\xff\n")]
    assert formats.from_folder(tmp_path, 1)[1] == ("link", b"\0\xff")


def test_folders_that_are_refused(tmp_path):
    refused(formats.from_folder, tmp_path, 100)
    refused(formats.from_folder, tmp_path / CANARY, 100)
    (tmp_path / CANARY).mkdir()
    refused(formats.from_folder, tmp_path, 100)
    (tmp_path / CANARY).rmdir()
    (tmp_path / f"{CANARY} with a space").write_bytes(b"x")
    refused(formats.from_folder, tmp_path, 100)
