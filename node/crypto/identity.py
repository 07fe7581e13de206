"""Which identity a folder holds, as far as may be told: ids and fingerprints, checked first.

Why it exists: whoever keeps identities (an init container, an operator with a backup) must tell a whole one from a
part, and one from another, without reading a key. What it refuses to do: describe an identity that a node would not
start with.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from node.crypto.certs import Authority
from node.crypto.rootkey import RootKey
from node.crypto.sealing import SealKey


def describe(folder: Path) -> dict[str, str]:
    """`root_key`: the root key's id (8 hex digits); `peer_ca`, `server_ca`: SHA-256 of the certificates (DER, hex).

    Raises Fatal when a part is missing, unreadable or does not belong to the others."""
    out = {"root_key": RootKey.load(folder).id}
    SealKey.load(folder)
    for role in ("peer", "server"):
        der = ssl.PEM_cert_to_DER_cert(Authority.load(folder, role).cert_pem.decode("ascii"))
        out[f"{role}_ca"] = hashlib.sha256(der).hexdigest()
    return out
