"""Where the bytes come from: exactly as they are, and errors that repeat nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from statefulset.cli.errors import REFUSED, USAGE, CliError
from statefulset.cli.values import LIMIT, gather


class Untouchable(io.BytesIO):
    def read(self, *_):
        raise AssertionError("standard input was read")


def ask_never(field: str) -> str:
    raise AssertionError("asked")


@pytest.mark.parametrize("data", [b"", b"x", b"x\n", b"\r\n\0\xff", os.urandom(LIMIT)])
def test_standard_input_is_taken_byte_for_byte(data: bytes):
    assert gather((), (), None, io.BytesIO(data), None) == {"value": data}


@pytest.mark.parametrize("data", [b"", b"x\n", os.urandom(LIMIT)])
def test_files_are_taken_byte_for_byte(tmp_path: Path, data: bytes):
    path = tmp_path / "f"
    path.write_bytes(data)
    assert gather((), (), path, Untouchable(), None) == {"value": data}
    assert gather(("pem",), (), path, Untouchable(), None) == {"pem": data}
    assert gather((), (("pem", path),), None, Untouchable(), None) == {"pem": data}


def test_the_prompt_for_each_field():
    answers = {"user": "u", "password": "pä"}
    out = gather(("user", "password"), (), None, Untouchable(), answers.__getitem__)
    assert out == {"user": b"u", "password": "pä".encode()}


def test_from_file_alone_neither_asks_nor_reads(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"1")
    assert gather((), (("a", tmp_path / "f"),), None, Untouchable(), ask_never) == {"a": b"1"}


def test_field_and_from_file_together(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"1")
    assert gather(("b",), (("a", tmp_path / "f"),), None, io.BytesIO(b"2"), None) == {"a": b"1", "b": b"2"}


def test_what_does_not_fit_together_is_usage(tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(b"1")
    for fields, from_files, file in (
        (("a", "b"), (), None),
        (("a", "b"), (), path),
        (("a", "a"), (), None),
        (("a",), (("a", path),), None),
        (("a..b",), (), None),
        (("",), (), None),
        (tuple(f"f{i}" for i in range(65)), (), None),
    ):
        with pytest.raises(CliError) as caught:
            gather(fields, from_files, file, io.BytesIO(b"x"), None)
        assert caught.value.exit_code == USAGE


def test_too_large_is_refused_before_anything_is_sent(tmp_path: Path):
    half = tmp_path / "half"
    half.write_bytes(b"x" * (LIMIT // 2 + 1))
    for arguments in (
        ((), (), None, io.BytesIO(b"x" * (LIMIT + 1))),
        ((), (("a", half), ("b", half)), None, Untouchable()),
    ):
        with pytest.raises(CliError) as caught:
            gather(*arguments, None)
        assert (caught.value.code, caught.value.exit_code) == ("too_large", REFUSED)


def test_a_standard_input_that_gives_nothing_is_usage():
    class Broken(io.BytesIO):
        def read(self, *_):
            raise IsADirectoryError(21, "Is a directory")

    for stdin in (None, Broken()):
        with pytest.raises(CliError, match="standard input") as caught:
            gather((), (), None, stdin, None)
        assert caught.value.exit_code == USAGE and "--file" in caught.value.hint


@pytest.mark.parametrize("path", ["hunter2-in-the-wrong-place", "hunter2\0", "/"])
def test_an_unreadable_file_is_not_quoted(path: str):
    with pytest.raises(CliError) as caught:
        gather((), (("password", Path(path)),), None, Untouchable(), None)
    assert caught.value.exit_code == USAGE
    assert "password" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint
