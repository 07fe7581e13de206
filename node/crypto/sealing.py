"""Opens values that were sealed to the cluster's public key, so that they can lie in git (`safe seal`).

Why it exists: whoever writes a manifest needs no right to read it back, and the controller that carries it here holds
ciphertext only. HPKE in its base mode (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM), as the cryptography package has it.
What it refuses to do: open a value under another secret or field than it was sealed for, or say why one does not open.

A sealed value is text: `safe1.` and base64 of the key's id (4 bytes), the sender's ephemeral key and the ciphertext.
The sending side is statefulset/cli/seal.py; tests/vectors/sealed.json holds both to the same bytes.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from node.crypto.primitives import KEY, NotAuthentic, derive
from node.errors import Fatal

FILE = "seal.key"
PREFIX = "safe1."
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
ID = 4


def new_seal_key() -> bytes:
    """32 random bytes, the private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def binding(name: str, field: str) -> bytes:
    """What a sealed value is good for: one field of one secret. NUL is in neither name."""
    return f"raftsafe sealed 1\0{name}\0{field}".encode()


class SealKey:
    """The private half; `public` (32 bytes) is for everybody."""

    __slots__ = ("_private", "id", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY:
            raise Fatal(f"{FILE} has {len(private)} bytes, not {KEY}", hint="restore the Secret that holds it")
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = self._private.public_key().public_bytes_raw()
        self.id = derive(self.public, b"seal id")[:ID]

    @classmethod
    def load(cls, folder: Path) -> SealKey:
        """From `<folder>/seal.key`. Raises Fatal when it is missing or of a wrong size."""
        try:
            return cls((folder / FILE).read_bytes())
        except OSError as error:
            raise Fatal(
                f"the sealing key {folder / FILE} cannot be read: {error.strerror}",
                hint="restore the Secret with the cluster's identity; with a new key nothing sealed in git would open",
            ) from None

    def open(self, name: str, field: str, sealed: str) -> bytes:
        """The value of `field` of secret `name`. Raises NotAuthentic, whose text may be shown to the caller."""
        raw = b""
        if sealed.startswith(PREFIX):
            try:
                raw = base64.b64decode(sealed.removeprefix(PREFIX), validate=True)
            except (binascii.Error, ValueError):
                raw = b""
        if len(raw) <= ID:
            raise NotAuthentic("this is no sealed value")
        if raw[:ID] != self.id:
            raise NotAuthentic("it was sealed to another cluster's key")
        try:
            return SUITE.decrypt(raw[ID:], self._private, info=binding(name, field))
        except (InvalidTag, ValueError):
            raise NotAuthentic("it was sealed for another secret or field, or was changed") from None

    def __repr__(self) -> str:
        return f"SealKey(id={self.id.hex()})"
