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
