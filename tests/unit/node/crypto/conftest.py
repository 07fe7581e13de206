from __future__ import annotations

from pathlib import Path

import pytest

from node.crypto.rootkey import RootKey, create_identity


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    assert create_identity(tmp_path / "identity", "c1")
    return tmp_path / "identity"


@pytest.fixture
def root(identity: Path) -> RootKey:
    return RootKey.load(identity)
