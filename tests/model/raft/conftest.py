"""Real AES-GCM file keys without node.crypto: raft is blind to it, and so are its tests."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Cipher:
    def __init__(self, key: bytes) -> None:
        self.aead = AESGCM(key)

    def seal(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        return self.aead.encrypt(number.to_bytes(12, "big"), data, aad)

    def open(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        try:
            return self.aead.decrypt(number.to_bytes(12, "big"), data, aad)
        except InvalidTag:
            raise ValueError("does not open") from None


class Keys:
    """The header is the key: enough for a test of formats."""

    def create(self, purpose: str) -> tuple[bytes, Cipher]:
        key = AESGCM.generate_key(256)
        return key, Cipher(key)

    def open(self, purpose: str, header: bytes) -> Cipher:
        return Cipher(header)


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys()
