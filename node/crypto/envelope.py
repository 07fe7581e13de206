"""A fresh key for every WAL segment and snapshot, wrapped by the root key in the file's own header.

Why it exists: with one key a file, the record number can be the nonce: it never repeats under that key, needs no
random number per record, and a record moved, dropped or repeated does not open at its new place.
What it refuses to do: use a file key for two files, or accept a header of another cluster or purpose.
"""

from __future__ import annotations

import os

from node.crypto.primitives import KEY, NONCE, Aead
from node.crypto.rootkey import RootKey


class SequenceCipher:
    """Seals numbered records. Numbers count from 0; 96 bits cannot be used up."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = Aead(key)

    def seal(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        return self._aead.seal(number.to_bytes(NONCE, "big"), data, aad)

    def open(self, number: int, data: bytes, aad: bytes = b"") -> bytes:
        """Raises NotAuthentic (a ValueError) when this is not record `number` of this file."""
        return self._aead.open(number.to_bytes(NONCE, "big"), data, aad)

    def __repr__(self) -> str:
        return "SequenceCipher(…)"


class FileKeys:
    """Makes and opens file keys for one cluster."""

    def __init__(self, root: RootKey, cluster: str) -> None:
        self._root, self._cluster = root, cluster

    def _aad(self, purpose: str) -> bytes:
        return f"file\0{self._cluster}\0{purpose}".encode()

    def create(self, purpose: str) -> tuple[bytes, SequenceCipher]:
        """A new key: (header of 64 bytes to store in the file, the cipher)."""
        key = os.urandom(KEY)
        return self._root.wrap(key, self._aad(purpose)), SequenceCipher(key)

    def open(self, purpose: str, header: bytes) -> SequenceCipher:
        """The cipher of an existing file. Raises Fatal when the root key is another or the header was changed."""
        return SequenceCipher(self._root.unwrap(header, self._aad(purpose)))
