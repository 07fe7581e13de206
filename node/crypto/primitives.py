"""The two primitives everything at rest is built from: AES-256-GCM and HKDF-SHA256, each behind one function.

Why it exists: so that a reviewer finds every nonce, key length and label in one folder.
What it refuses to do: offer a choice of algorithm, or say more about a failed open than that it failed.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# 256-bit keys: also the margin against a quantum search, at no cost on any CPU with AES instructions.
KEY = 32
# The nonce length GCM is defined for without hashing it first (NIST SP 800-38D, 8.2).
NONCE = 12
TAG = 16


class NotAuthentic(ValueError):
    """These bytes were not sealed with this key, at this place, or they were changed."""


class Aead:
    """AES-256-GCM under one key. The caller owns nonce uniqueness and says at each use why it holds."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY:
            raise ValueError("an AES-256 key is 32 bytes")
        self._aead = AESGCM(key)

    def seal(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        """Ciphertext and tag. A nonce is used once under a key."""
        if len(nonce) != NONCE:
            raise ValueError("a GCM nonce is 12 bytes")
        return self._aead.encrypt(nonce, data, aad)

    def open(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        """The plaintext. Raises NotAuthentic, which names nothing; also for bytes too short to have been sealed."""
        if len(nonce) != NONCE or len(data) < TAG:
            raise NotAuthentic("these bytes were cut off")
        try:
            return self._aead.decrypt(nonce, data, aad)
        except InvalidTag:
            raise NotAuthentic("it does not open with this key at this place") from None

    def __repr__(self) -> str:
        return "Aead(…)"


def derive(key: bytes, label: bytes, context: bytes = b"") -> bytes:
    """A 32-byte key for one purpose (RFC 5869). `key` is uniformly random, so no salt is needed; the label separates
    purposes, its length is encoded so that no label and context run into each other."""
    info = b"raftsafe 1\0" + len(label).to_bytes(2, "big") + label + context
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=info).derive(key)
