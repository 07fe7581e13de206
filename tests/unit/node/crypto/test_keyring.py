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
        ("ns/name", 1, b"w" * 16, sealed[:-1]),
        ("ns/name", 1, b"w" * 16, sealed[:13]),
        ("ns/name", 1, b"w" * 16, sealed[:5]),
        ("ns/name", 1, b"w" * 16, b""),
    ]:
        with pytest.raises(NotAuthentic) as caught:
            keyring.open_value(name, generation, write_id, data)
        assert "canary" not in repr(caught.value) and caught.value.__cause__ is None
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


def test_another_cluster_with_the_same_root_key_opens_nothing() -> None:
    wrapped = Keyring(ROOT, "c1").new_key(1)
    with pytest.raises(Fatal):
        Keyring(ROOT, "c2").absorb({1: wrapped})


def test_the_newest_generation_seals_and_all_open() -> None:
    keyring = ring()
    _, old = keyring.seal_value("ns/name", b"w" * 16, {"value": b"1"})
    wrapped = {generation: keyring.new_key(generation) for generation in (3, 2)}
    assert keyring.generation == 1, "a key made here is in use only once it has gone through the log"
    keyring.absorb(wrapped)
    generation, new = keyring.seal_value("ns/name", b"w" * 16, {"value": b"2"})
    assert (generation, keyring.generations) == (3, 3)
    assert keyring.open_value("ns/name", 1, b"w" * 16, old) == {"value": b"1"}
    assert keyring.open_value("ns/name", 3, b"w" * 16, new) == {"value": b"2"}


def test_a_generation_that_is_known_is_not_replaced() -> None:
    keyring = ring()
    _, sealed = keyring.seal_value("ns/name", b"w" * 16, {"value": b"1"})
    keyring.absorb({1: keyring.new_key(1)})
    assert keyring.open_value("ns/name", 1, b"w" * 16, sealed) == {"value": b"1"}


def test_the_largest_secret_stays_within_what_a_record_may_hold() -> None:
    fields = {f"{i:0253}": bytes(16 << 10) for i in range(64)}
    keyring = ring()
    _, sealed = keyring.seal_value("ns/name", b"w" * 16, fields)
    assert sum(map(len, fields.values())) == 1 << 20 and len(sealed) < (1 << 20) + (32 << 10)
    assert keyring.open_value("ns/name", 1, b"w" * 16, sealed) == fields


def test_the_identity_of_a_store_is_that_of_its_first_key() -> None:
    """The same on every node and after every restart, whatever keys come later; another for a store built anew."""
    first, second = ring(), Keyring(ROOT, "c1")
    assert Keyring(ROOT, "c1").store == ""
    keys = {1: second.new_key(1)}
    second.absorb(keys)
    identity = second.store
    assert len(identity) == 32 and first.store not in ("", identity)
    keys[2] = second.new_key(2)
    second.absorb(keys)
    restarted = Keyring(ROOT, "c1")
    restarted.absorb(dict(sorted(keys.items(), reverse=True)))
    assert second.store == restarted.store == identity
