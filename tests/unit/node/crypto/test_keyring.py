from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto.keyring import Keyring
from node.crypto.primitives import NotAuthentic
from node.crypto.rootkey import RootKey
from node.errors import Fatal, Retry

ROOT = RootKey(b"r" * 32)


def ring() -> Keyring:
    keyring = Keyring(ROOT, "c1")
    keyring.absorb({1: keyring.new_key(1)})
    return keyring


@given(st.dictionaries(st.text(max_size=10), st.binary(max_size=100), max_size=5), st.binary(min_size=16, max_size=16))
def test_round_trip(fields: dict[str, bytes], write_id: bytes) -> None:
    keyring = ring()
    generation, sealed = keyring.seal_value("ns/name", write_id, fields)
    assert generation == 1
    assert keyring.open_value("ns/name", 1, write_id, sealed) == fields
    assert keyring.seal_value("ns/name", write_id, fields)[1] != sealed


def test_bound_to_name_write_and_generation() -> None:
    keyring = ring()
    _, sealed = keyring.seal_value("ns/name", b"w" * 16, {"value": b"canary"})
    keyring.absorb({2: keyring.new_key(2)})
    changed = bytes([sealed[20] ^ 1])
    for name, generation, write_id, data in [
        ("ns/other", 1, b"w" * 16, sealed),
        ("ns/name", 2, b"w" * 16, sealed),
        ("ns/name", 3, b"w" * 16, sealed),
        ("ns/name", 1, b"x" * 16, sealed),
        ("ns/name", 1, b"w" * 16, sealed[:20] + changed + sealed[21:]),
    ]:
        with pytest.raises(NotAuthentic) as caught:
            keyring.open_value(name, generation, write_id, data)
        assert "canary" not in repr(caught.value)
    assert b"canary" not in sealed


def test_no_key_yet_and_a_wrong_root_key() -> None:
    with pytest.raises(Retry):
        Keyring(ROOT, "c1").seal_value("ns/name", b"w" * 16, {})
    wrapped = Keyring(ROOT, "c1").new_key(1)
    with pytest.raises(Fatal, match="sealed with root key"):
        Keyring(RootKey(b"s" * 32), "c1").absorb({1: wrapped})
    with pytest.raises(Fatal):
        Keyring(ROOT, "c1").absorb({2: wrapped})
    assert repr(ring()) == "Keyring(generations=[1])"
