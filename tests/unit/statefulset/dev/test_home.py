from __future__ import annotations

import os
from pathlib import Path

import pytest

from statefulset.cli import connection
from statefulset.cli.dev import home
from statefulset.cli.dev.errors import DevError


def test_nothing_is_left_of_a_temporary_one(tmp_path: Path) -> None:
    opened = home.open_(tmp_path, private=False, keep=None, nodes=3)
    assert opened.path == tmp_path / f"raftsafe-dev-{os.getuid()}"
    assert opened.path.stat().st_mode & 0o777 == 0o700
    assert opened.data.stat().st_mode & 0o777 == 0o700
    assert not opened.data.is_relative_to(opened.path)
    (opened.node_data("safe-0") / "wal").write_text("x")
    opened.mount("web")
    assert opened.left()
    opened.close()
    assert opened.left() == []
    assert list(tmp_path.iterdir()) == []


def test_a_plain_safe_finds_it(tmp_path: Path) -> None:
    opened = home.open_(tmp_path, private=False, keep=None, nodes=3)
    try:
        opened.identity.mkdir()
        opened.ca_file.write_text("certificate")
        opened.admin_token.write_text("token")
        (opened.contexts / "viewer").write_text("another")
        opened.tell_client(("https://127.0.0.1:17402",))
        found = connection.find({}, os.getuid(), tmp_path)
        assert found.servers == ("https://127.0.0.1:17402",)
        assert found.ca_file == opened.ca_file
        assert found.token() == "token"
        for context, token in (("safe-dev-viewer", "another"), ("safe-dev-admin", "token")):
            asked = connection.Asked(context=context, cluster=True)
            assert connection.find({}, os.getuid(), tmp_path, asked).token() == token
    finally:
        opened.close()


def test_private_ones_run_beside_each_other(tmp_path: Path) -> None:
    opened = [home.open_(tmp_path, private=private, keep=None, nodes=3) for private in (False, True, True)]
    assert len({one.path for one in opened}) == 3
    with pytest.raises(DevError, match="another"):
        home.open_(tmp_path, private=False, keep=None, nodes=3)
    for one in opened:
        one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_kept_folder_is_kept_with_its_identity(tmp_path: Path) -> None:
    memory, kept = tmp_path / "memory", tmp_path / "kept"
    memory.mkdir()
    opened = home.open_(memory, private=False, keep=kept, nodes=3)
    (opened.node_data("safe-0") / "wal").write_text("x")
    assert opened.identity == kept / "identity"
    opened.close()
    assert opened.left() == []
    assert (kept / "safe-0" / "wal").read_text() == "x"
    again = home.open_(memory, private=False, keep=kept, nodes=3)
    again.close()
    with pytest.raises(DevError, match="holds a cluster of 3 nodes: start it with --nodes 3"):
        home.open_(memory, private=False, keep=kept, nodes=5)
    assert list(memory.iterdir()) == []


def test_a_kept_folder_serves_one_at_a_time(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    memory = [tmp_path / "m1", tmp_path / "m2"]
    for path in memory:
        path.mkdir()
    opened = home.open_(memory[0], private=False, keep=kept, nodes=3)
    with pytest.raises(DevError, match="in use by another"):
        home.open_(memory[1], private=False, keep=kept, nodes=3)
    opened.close()
    home.open_(memory[1], private=False, keep=kept, nodes=3).close()


@pytest.mark.parametrize("text", ["{}", "[", "[1]"])
def test_a_kept_folder_that_is_not_ours_is_not_touched(tmp_path: Path, text: str) -> None:
    kept, memory = tmp_path / "kept", tmp_path / "memory"
    kept.mkdir()
    memory.mkdir()
    (kept / "thesis").write_text("x")
    with pytest.raises(DevError, match="neither empty nor made by"):
        home.open_(memory, private=False, keep=kept, nodes=3)
    assert [path.name for path in kept.iterdir()] == ["thesis"]
    (kept / "dev.json").write_text(text)
    with pytest.raises(DevError, match=r'is damaged; it should say for example \{"nodes": 3\}$'):
        home.open_(memory, private=False, keep=kept, nodes=3)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DevError, match="cannot be used"):
        home.open_(memory, private=False, keep=tmp_path / "file", nodes=3)
    assert list(memory.iterdir()) == []


def test_an_identity_that_cannot_be_made_shows_why(tmp_path: Path) -> None:
    opened = home.open_(tmp_path, private=False, keep=None, nodes=3)
    try:
        opened.identity.write_text("in the way")
        with pytest.raises(DevError, match="init-identity` exited with code") as caught:
            opened.make_identity()
        assert caught.value.details
    finally:
        opened.close()


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    opened = home.open_(tmp_path, private=False, keep=None, nodes=3)
    try:
        opened.make_identity()
        first = (opened.identity / "root.key").read_bytes()
        assert opened.ca_file.exists()
        opened.make_identity()
        assert (opened.identity / "root.key").read_bytes() == first
    finally:
        opened.close()
