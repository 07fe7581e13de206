"""The types of arguments: what they take, and that they never quote what they refuse."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from statefulset.cli.options import SECRET, WORKLOAD, FieldFile


@pytest.mark.parametrize("name", ["a/b", "payments/db", "pay-1/tls.crt", "a" * 63 + "/" + "b" * 253])
def test_secret_names(name: str):
    assert SECRET.convert(name, None, None) == name


@pytest.mark.parametrize(
    "name", ["hunter2", "hunter2/", "/hunter2", "hunter2/A", "hunter2/a..b", "hunter2/a/b", "hunter2/é"]
)
def test_secret_names_that_are_refused(name: str):
    with pytest.raises(click.BadParameter) as caught:
        SECRET.convert(name, None, None)
    assert "hunter2" not in caught.value.format_message()


@pytest.mark.parametrize("name", ["a/b", "*/b", "a/*", "*/*", "a/system.reader"])
def test_workloads(name: str):
    assert WORKLOAD.convert(name, None, None) == name


@pytest.mark.parametrize("name", ["hunter2", "a/", "a/b*", "**/b", "A/b", "hunter2/"])
def test_workloads_that_are_refused(name: str):
    with pytest.raises(click.BadParameter) as caught:
        WORKLOAD.convert(name, None, None)
    assert "hunter2" not in caught.value.format_message()


def test_field_and_path():
    kind = FieldFile()
    assert kind.convert("tls.key=/a=b", None, None) == ("tls.key", Path("/a=b"))
    for text in ("hunter2", "=hunter2", "hunter2=", "a/b=hunter2"):
        with pytest.raises(click.BadParameter) as caught:
            kind.convert(text, None, None)
        assert "hunter2" not in caught.value.format_message()
