"""Seals values to a cluster's public key: the sending half of node/crypto/sealing.py.

Why it exists: what comes out may lie in git; only the nodes of that cluster open it, and only as that field of that
secret. HPKE, base mode (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM), as the cryptography package has it.
What it refuses to do: hold the private half. Sealing twice gives two texts: nobody sees that a value came again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from statefulset.cli.errors import usage

PREFIX = "safe1."
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
KEY = 32
LABEL = b"seal id"


def public_key(text: str) -> bytes:
    """The 32 bytes of a public key as `safe seal --print-key` writes it. Raises CliError usage."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY:
        raise usage("this is no sealing key", "it is one line of 44 characters; `safe seal --print-key` writes it")
    return raw


def _id(public: bytes) -> bytes:
    """Four bytes that tell keys apart, so that a value for another cluster is called so."""
    info = b"raftsafe 1\0" + len(LABEL).to_bytes(2, "big") + LABEL
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=info).derive(public)[:4]


def seal(public: bytes, name: str, fields: Mapping[str, bytes]) -> dict[str, str]:
    """Field -> sealed text, good for this field of this secret and for nothing else."""
    recipient, head = X25519PublicKey.from_public_bytes(public), _id(public)
    out = {}
    for field, value in fields.items():
        binding = f"raftsafe sealed 1\0{name}\0{field}".encode()
        out[field] = PREFIX + base64.b64encode(head + SUITE.encrypt(value, recipient, info=binding)).decode()
    return out
