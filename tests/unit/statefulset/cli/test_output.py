"""How answers look."""

from __future__ import annotations

import json

import pytest

from statefulset.cli import output
from statefulset.cli.errors import CliError


def test_table_is_aligned_and_has_no_spaces_at_the_ends():
    text = output.table(("NAME", "V"), [("payments/db", "12"), ("x/y", "")])
    assert text == "NAME         V\npayments/db  12\nx/y"


def test_pairs_are_aligned():
    assert output.pairs([("name", "a/b"), ("version", "3"), ("fields", "")]) == "name:     a/b\nversion:  3\nfields:"


def test_when():
    assert output.when(None) == "-"
    assert output.when(0) == "1970-01-01T00:00:00Z"
    assert output.when(1_700_000_000_999) == "2023-11-14T22:13:20Z"
    assert output.when((1 << 53) - 1).endswith(" ms")


def test_control_characters_of_a_server_do_not_reach_the_terminal(capsys):
    output.say("a\x1b[2Jb\nc\r")
    assert capsys.readouterr().out == "a?[2Jb\nc?\n"


def test_errors_go_to_standard_error(capsys):
    error = CliError("it is not so", code="conflict", exit_code=1, hint="look", request_id="r1")
    output.fail(error, as_json=False)
    output.fail(error, as_json=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second, third = captured.err.splitlines()
    assert (first, second) == ("safe: it is not so (conflict)", "hint: look")
    assert json.loads(third)["error"] == {
        "code": "conflict",
        "message": "it is not so",
        "hint": "look",
        "request_id": "r1",
        "exit_code": 1,
    }


def test_a_lost_output_is_what_those_who_watch_for_a_gone_terminal_catch(monkeypatch):
    with open("/dev/full", "w") as full:
        for gone in (None, full):
            monkeypatch.setattr("sys.stdout", gone)
            with pytest.raises(OSError):
                output.say("x")
            monkeypatch.setattr("sys.stderr", gone)
            output.note("nobody reads it")
