from __future__ import annotations

import hmac

import pytest

from node.crypto.primitives import Aead, NotAuthentic, derive


def test_opens_only_what_was_sealed_at_this_place() -> None:
    aead = Aead(bytes(32))
    nonce = bytes(12)
    sealed = aead.seal(nonce, b"value", b"place")
    assert aead.open(nonce, sealed, b"place") == b"value"
    for data, aad, other in [
        (sealed[:-1], b"place", nonce),
        (sealed, b"elsewhere", nonce),
        (sealed, b"place", bytes(11) + b"\1"),
        (bytes([sealed[0] ^ 1]) + sealed[1:], b"place", nonce),
        (b"", b"place", nonce),
        (sealed[:15], b"place", nonce),
        (sealed, b"place", b""),
        (sealed, b"place", bytes(16)),
    ]:
        with pytest.raises(NotAuthentic) as caught:
            aead.open(other, data, aad)
        assert "value" not in str(caught.value)


def test_keys_have_one_length_and_no_repr() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Aead(bytes(16))
    with pytest.raises(ValueError, match="12 bytes"):
        Aead(bytes(32)).seal(bytes(16), b"", b"")
    assert "\\x" not in repr(Aead(b"k" * 32)) and "kkk" not in repr(Aead(b"k" * 32))


def test_derived_keys_differ_by_label_and_context() -> None:
    made = {derive(bytes(32), label, context) for label, context in [(b"a", b"bc"), (b"ab", b"c"), (b"abc", b"")]}
    assert len(made) == 3


def test_known_answer() -> None:
    # NIST CAVS gcmEncryptExtIV256: an independent implementation agrees on what AES-256-GCM is.
    key = bytes.fromhex("31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22")
    nonce = bytes.fromhex("0d18e06c7c725ac9e362e1ce")
    plain = bytes.fromhex("2db5168e932556f8089a0622981d017d")
    sealed = Aead(key).seal(nonce, plain, b"")
    assert sealed.hex() == "fa4362189661d163fcd6a56d8bf0405ad636ac1bbedd5cc3ee727dc2ab4a9489"


def test_derivation_is_hkdf_with_sha256() -> None:
    # RFC 5869 by hand with the standard library: extract with an empty salt, one round of expand.
    info = b"raftsafe 1\0\0\4wrapcontext"
    extracted = hmac.digest(bytes(32), b"k" * 32, "sha256")
    assert derive(b"k" * 32, b"wrap", b"context") == hmac.digest(extracted, info + b"\1", "sha256")
