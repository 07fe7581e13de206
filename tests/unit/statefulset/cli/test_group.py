"""The list of commands: imported when used, and usable when one of them cannot be."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from statefulset.cli import group


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def test_the_group_imports_no_command():
    modules = imported_by("import statefulset.cli.__main__")
    assert not {"httpx", "rich", "aiohttp", "statefulset.cli.put", "statefulset.cli.dev.command"} & modules


def test_put_and_list_import_neither_dev_nor_httpx_before_they_run():
    modules = imported_by(
        "from statefulset.cli.__main__ import run\nassert run(['put', '--help']) == 0\nassert run(['list', '--help']) == 0"
    )
    assert not {"httpx", "rich", "statefulset.cli.dev.command"} & modules


def test_every_command_is_there_and_explains_itself():
    context = click.Context(group.safe)
    for name in group.safe.list_commands(context):
        command = group.safe.get_command(context, name)
        assert command is not None and command.name == name
        if name != "dev":
            assert command.help and command.short_help


def test_a_command_whose_packages_are_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(group.COMMANDS, "dev", "package_that_is_not_there.command:dev")
    command = group.safe.get_command(click.Context(group.safe), "dev")
    assert command is not None
    with pytest.raises(click.UsageError, match=r"package_that_is_not_there.*pip install"):
        command.main(["--nodes", "3"], standalone_mode=False)


def test_an_unknown_command():
    assert group.safe.get_command(click.Context(group.safe), "reveal") is None
