from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from node.crypto.primitives import NotAuthentic
from node.crypto.rootkey import create_identity
from node.crypto.sealing import SealKey, new_seal_key
from node.errors import Fatal
from statefulset.cli.sealing import seal

VECTOR = json.loads((Path(__file__).parents[3] / "vectors" / "sealed.json").read_text())


@pytest.fixture
def key() -> SealKey:
    return SealKey(bytes.fromhex(VECTOR["private_key"]))


def test_the_vector_opens(key: SealKey) -> None:
    assert key.public.hex() == VECTOR["public_key"] and key.id.hex() == VECTOR["key_id"]
    assert key.open(VECTOR["name"], VECTOR["field"], VECTOR["sealed"]) == VECTOR["value"].encode()


@pytest.mark.parametrize(
    ("name", "field"), [("payments/dc", "password"), ("payments/db", "user"), ("payments/dbp", "assword")]
)
def test_nowhere_else(key: SealKey, name: str, field: str) -> None:
    with pytest.raises(NotAuthentic, match="another secret or field"):
        key.open(name, field, VECTOR["sealed"])


def test_every_changed_bit_is_noticed(key: SealKey) -> None:
    raw = bytearray(base64.b64decode(VECTOR["sealed"].removeprefix("safe1.")))
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotAuthentic):
            key.open(VECTOR["name"], VECTOR["field"], "safe1." + base64.b64encode(raw).decode())
        raw[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize(
    "text", ["", "safe1.", "safe1.AAAA", "safe2.AAAAAAAA", "safe1.!!!!", "correct horse", "safe1.é"]
)
def test_what_is_no_sealed_value(key: SealKey, text: str) -> None:
    with pytest.raises(NotAuthentic) as caught:
        key.open("a/b", "c", text)
    assert text == "" or text not in str(caught.value)


def test_another_clusters_value_is_called_so(key: SealKey) -> None:
    other = SealKey(new_seal_key())
    text = seal(other.public, "a/b", {"c": b"v"})["c"]
    with pytest.raises(NotAuthentic, match="another cluster"):
        key.open("a/b", "c", text)
    assert other.open("a/b", "c", text) == b"v"


def test_it_comes_with_the_identity(tmp_path: Path) -> None:
    create_identity(tmp_path / "identity", "c1")
    one = SealKey.load(tmp_path / "identity")
    assert one.public == SealKey.load(tmp_path / "identity").public
    (tmp_path / "identity" / "seal.key").unlink()
    with pytest.raises(Fatal, match=r"cannot be read"):
        SealKey.load(tmp_path / "identity")
    with pytest.raises(Fatal, match="not 32"):
        SealKey(b"short")


def test_the_private_key_is_in_no_repr(key: SealKey) -> None:
    assert VECTOR["private_key"] not in repr(key)
