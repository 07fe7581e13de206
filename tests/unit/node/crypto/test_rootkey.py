from __future__ import annotations

import concurrent.futures
from pathlib import Path

import pytest

from node.crypto.rootkey import RootKey, create_identity
from node.errors import Fatal


def test_wraps_for_one_purpose(root: RootKey) -> None:
    wrapped = root.wrap(b"k" * 32, b"purpose")
    assert root.unwrap(wrapped, b"purpose") == b"k" * 32
    with pytest.raises(Fatal, match="damaged"):
        root.unwrap(wrapped, b"another")
    assert root.wrap(b"k" * 32, b"purpose") != wrapped


def test_a_wrong_root_key_is_named_and_nothing_is_guessed(root: RootKey) -> None:
    other = RootKey(b"o" * 32)
    with pytest.raises(Fatal, match=f"root key {root.id}, the mounted one is {other.id}") as caught:
        other.unwrap(root.wrap(b"k" * 32, b""), b"")
    assert "restore the Secret" in caught.value.hint


def test_missing_or_short(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be read") as caught:
        RootKey.load(tmp_path)
    assert "restore the Secret" in caught.value.hint
    (tmp_path / "root.key").write_bytes(b"short")
    with pytest.raises(Fatal, match="5 bytes, not 32"):
        RootKey.load(tmp_path)


def test_no_key_in_a_repr() -> None:
    assert "kkk" not in repr(RootKey(b"k" * 32)) and b"k".hex() * 3 not in repr(RootKey(b"k" * 32))


def test_an_identity_is_made_once(identity: Path) -> None:
    before = {p.name: p.read_bytes() for p in identity.iterdir()}
    assert create_identity(identity, "c1") is False
    assert {p.name: p.read_bytes() for p in identity.iterdir()} == before
    assert all(p.stat().st_mode & 0o077 == 0 for p in [identity, *identity.iterdir()])


def test_of_many_at_once_one_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_identity(folder, "c1"), range(8)))
    assert made.count(True) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["identity"]
    assert len(list(folder.iterdir())) == 5
