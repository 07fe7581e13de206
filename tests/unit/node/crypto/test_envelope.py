from __future__ import annotations

import pytest

from node.crypto.envelope import FileKeys
from node.crypto.rootkey import RootKey
from node.errors import Fatal


def test_a_record_opens_only_at_its_number_and_in_its_file(root: RootKey) -> None:
    keys = FileKeys(root, "c1")
    header, cipher = keys.create("wal")
    sealed = cipher.seal(7, b"data")
    assert keys.open("wal", header).open(7, sealed) == b"data"
    with pytest.raises(ValueError):
        cipher.open(8, sealed)
    with pytest.raises(ValueError):
        keys.create("wal")[1].open(7, sealed)


@pytest.mark.parametrize(("purpose", "cluster"), [("snapshot", "c1"), ("wal", "c2")])
def test_a_header_of_another_purpose_or_cluster_is_refused(root: RootKey, purpose: str, cluster: str) -> None:
    header, _ = FileKeys(root, "c1").create("wal")
    with pytest.raises(Fatal):
        FileKeys(root, cluster).open(purpose, header)
    assert len(header) == 64


def test_what_a_record_is_bound_to_counts(root: RootKey) -> None:
    _, cipher = FileKeys(root, "c1").create("wal")
    sealed = cipher.seal(0, b"data", b"segment 1")
    assert cipher.open(0, sealed, b"segment 1") == b"data"
    with pytest.raises(ValueError):
        cipher.open(0, sealed, b"segment 2")


def test_every_file_has_a_key_of_its_own(root: RootKey) -> None:
    keys = FileKeys(root, "c1")
    assert len({keys.create("wal")[1].seal(0, b"data") for _ in range(20)}) == 20


@pytest.mark.parametrize("size", [0, 4, 63])
def test_a_torn_header_is_told_apart_from_a_wrong_root_key(root: RootKey, size: int) -> None:
    keys = FileKeys(root, "c1")
    with pytest.raises(Fatal, match=f"has {size} bytes"):
        keys.open("wal", keys.create("wal")[0][:size])


def test_a_wrong_root_key_says_what_to_restore(root: RootKey) -> None:
    header, cipher = FileKeys(root, "c1").create("wal")
    with pytest.raises(Fatal, match=root.id) as caught:
        FileKeys(RootKey(b"o" * 32), "c1").open("wal", header)
    assert "restore the Secret" in caught.value.hint
    assert repr(cipher) == "SequenceCipher(…)"
