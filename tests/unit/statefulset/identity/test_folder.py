"""The identity as files: made, judged and placed by the real `safe-node`, on a real tmpfs."""

from __future__ import annotations

import os
import stat

import pytest

from statefulset.identity import folder
from statefulset.identity.decide import FILES
from statefulset.identity.folder import FolderError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return folder.make("raftsafe", tmp_path_factory.mktemp("made"))


def test_what_is_made_is_whole_and_leaves_nothing(files, memory):
    assert set(files) == set(FILES) and len(files["root.key"]) == 32
    key, broken = folder.judge(files, memory)
    assert len(key) == 8 and broken == ""
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root.key": b"short"}, "5 bytes"),
        ({"peer-ca.crt": b"no certificate"}, "peer CA"),
        ({"server-ca.key": b""}, "server CA"),
        ({"root.key": b"x" * (1 << 17)}, "larger"),
    ],
)
def test_a_damaged_one_is_told(files, memory, change, words):
    key, broken = folder.judge(files | change, memory)
    assert key == "" and words in broken
    assert list(memory.iterdir()) == []


def test_a_part_is_told(files, memory):
    assert folder.judge({"root.key": files["root.key"]}, memory) == (
        "",
        "it lacks seal.key, peer-ca.key, peer-ca.crt, server-ca.key, server-ca.crt",
    )


def test_keys_of_two_identities_are_told_apart(files, memory):
    other = folder.make("raftsafe", memory)
    assert "do not belong together" in folder.judge(files | {"peer-ca.key": other["peer-ca.key"]}, memory)[1]
    assert folder.judge(other, memory) != folder.judge(files, memory)


def test_placing_replaces_what_an_earlier_start_left(files, memory):
    place = memory / "identity"
    place.mkdir()
    (place / "root.key").write_bytes(b"old")
    (place / "stray").write_bytes(b"old")
    folder.place(files, place)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == files
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in place.iterdir()} == {0o600}
    assert [path.name for path in memory.iterdir()] == ["identity"]


def test_data_is_anything_a_node_wrote(tmp_path):
    assert folder.has_data(tmp_path / "none") is False
    assert folder.has_data(tmp_path) is False
    (tmp_path / "wal.1").touch()
    assert folder.has_data(tmp_path) is True
    with pytest.raises(FolderError, match="cannot be read"):
        folder.has_data(tmp_path / "wal.1")


def test_only_memory_will_do(memory):
    folder.require_memory(memory / "x")
    with pytest.raises(FolderError, match="not in memory"):
        folder.require_memory(folder.Path("/usr"))
