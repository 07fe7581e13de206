"""What `safe put` makes of its arguments, before anything is sent."""

from __future__ import annotations

import click
import pytest

from statefulset.cli.put import put


def parsed(*args: str):
    return put.make_context("put", list(args)).params


def test_all_options():
    params = parsed(
        "a/b", "--field", "x", "--from-file", "y=/p", "--for", "a/c", "--for", "a/*", "--if-version", "0", "--json", "--timeout", "2"
    )  # fmt: skip
    assert params["name"] == "a/b" and params["fields"] == ("x",) and params["grants"] == ("a/c", "a/*")
    assert params["from_files"][0][0] == "y" and params["if_version"] == 0
    assert params["as_json"] is True and params["timeout"] == 2.0


def test_a_value_after_an_equals_sign_is_answered_with_where_it_belongs():
    with pytest.raises(click.UsageError, match="a value is never an argument: give it at the prompt") as caught:
        parsed("a/b", "--value=hunter2")
    assert "hunter2" not in caught.value.format_message()


@pytest.mark.parametrize(
    "args", [["hunter2"], ["--hunter2"], ["--if-version", "hunter2"], ["--fil=hunter2"], ["--", "-hunter2"]]
)
def test_what_is_too_much_is_not_quoted(args):
    with pytest.raises(click.UsageError) as caught:
        parsed("a/b", *args)
    assert "hunter2" not in caught.value.format_message()
    assert caught.value.ctx is not None


def test_a_typing_mistake_is_answered_with_what_was_meant():
    with pytest.raises(click.UsageError, match="--if-version"):
        parsed("a/b", "--if-versoin", "3")
