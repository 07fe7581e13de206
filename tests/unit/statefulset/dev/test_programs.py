from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sidecar import settings as sidecar_settings
from statefulset.cli.dev import ports, programs


def test_the_installed_command_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert programs.command("safe-node") == (str(tmp_path / "python"), "-m", "node")
    beside = tmp_path / "safe-node"
    beside.write_text("#!/bin/sh\n")
    assert programs.command("safe-node") == (str(tmp_path / "python"), "-m", "node")
    beside.chmod(0o755)
    assert programs.command("safe-node") == (str(beside),)


def test_the_command_is_shown_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below, other = tmp_path / "a b" / "safe", tmp_path / "bin" / "safe"
    for file in (below, other):
        file.parent.mkdir()
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(other.parent))
    assert programs.invocation(str(other)) == "safe"
    assert programs.invocation(str(below)) == "'a b/safe'"
    monkeypatch.setenv("PATH", "")
    assert programs.invocation("bin/safe") == "bin/safe"
    assert programs.invocation(str(other)) == "bin/safe"
    monkeypatch.chdir(other.parent)
    assert programs.invocation(str(other)) == "./safe"
    assert programs.invocation("../bin/safe") == "./safe"
    assert programs.invocation("../a b/safe") == "'../a b/safe'"
    assert programs.invocation("/x/statefulset/cli/__main__.py") == f"{sys.executable} -m statefulset.cli"


def test_settings_of_the_persons_own_shell_are_not_passed_on() -> None:
    assert programs.clean({"SAFE_SERVER": "https://production", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_node_is_told_of_itself_and_all_peers(tmp_path: Path) -> None:
    found = programs.node_env(
        "safe-1", ports.plan(17400, 3), tmp_path / "d", tmp_path / "i", "https://x", tmp_path / "c"
    )
    assert found["SAFE_NAME"] == "safe-1"
    assert found["SAFE_PEERS"] == "safe-0=127.0.0.1:17400,safe-1=127.0.0.1:17410,safe-2=127.0.0.1:17420"
    assert found["SAFE_PEER_LISTEN"] == "127.0.0.1:17410"
    assert found["SAFE_DELIVERY_LISTEN"] == "127.0.0.1:17411"
    assert found["SAFE_ADMIN_LISTEN"] == "127.0.0.1:17412"
    assert found["SAFE_API_SERVER"] == found["SAFE_ISSUER"] == "https://x"
    assert found["SAFE_API_TOKEN_FILE"] == str(tmp_path / "node-token")
    assert all(text for text in found.values())


def test_every_setting_of_a_node_is_given_by_us_or_can_be_tried_out(tmp_path: Path) -> None:
    source = (Path(__file__).parents[4] / "node" / "settings.py").read_text("utf-8")
    given = programs.node_env("safe-0", ports.plan(17400, 1), tmp_path, tmp_path, "https://x", tmp_path / "c")
    left = set(re.findall(r'"(SAFE_[A-Z_]+)"', source)) - set(given) - set(programs.TUNABLE)
    assert left == {"SAFE_PEER_TEMPLATE", "SAFE_ISSUER_TOKEN_FILE"}, "neither is of use on one machine"
    assert not set(given) & set(programs.TUNABLE)


def test_a_sidecar_understands_its_settings(tmp_path: Path) -> None:
    env = programs.sidecar_env(
        ports.plan(17400, 3), tmp_path / "ca", tmp_path / "t", tmp_path / "m", "web", ("demo/db",)
    )
    found = sidecar_settings.load(env, "run")
    assert [str(node) for node in found.nodes] == ["127.0.0.1:17401", "127.0.0.1:17411", "127.0.0.1:17421"]
    assert found.pod == "web"
    assert found.secrets == ("demo/db",)
    assert not found.allow_disk
