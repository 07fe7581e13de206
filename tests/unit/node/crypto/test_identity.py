"""What may be told of an identity, and that only a whole one is described."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from node.crypto.identity import describe
from node.crypto.rootkey import RootKey, create_identity
from node.errors import Fatal


def test_ids_and_fingerprints_and_no_key(tmp_path):
    create_identity(tmp_path / "a", "raftsafe")
    create_identity(tmp_path / "b", "raftsafe")
    one, other = describe(tmp_path / "a"), describe(tmp_path / "b")
    assert set(one) == {"root_key", "peer_ca", "server_ca"}
    assert not set(one.values()) & set(other.values())
    assert one["root_key"] == RootKey.load(tmp_path / "a").id
    assert {len(value) for value in one.values()} == {8, 64}


@pytest.mark.parametrize(
    "name", ["root.key", "seal.key", "peer-ca.key", "peer-ca.crt", "server-ca.key", "server-ca.crt"]
)
def test_a_part_is_not_described(tmp_path, name):
    create_identity(tmp_path / "a", "raftsafe")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(Fatal):
        describe(tmp_path / "a")


def test_as_a_command(tmp_path):
    create_identity(tmp_path / "a", "raftsafe")
    command = [sys.executable, "-m", "node", "show-identity"]
    shown = subprocess.run([*command, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == describe(tmp_path / "a") and shown.stderr == ""
    lost = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert lost.returncode == 70 and lost.stdout == "" and lost.stderr.startswith("safe-node: the root key")
