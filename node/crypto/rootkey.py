"""The root key: 32 bytes from a mounted Secret that wrap every other key, and the folder it lives in.

Why it exists: whoever lacks it has ciphertext only; rotating it re-wraps small keys and never touches data.
What it refuses to do: invent a new key over existing data (VSecM does, and its data is lost), write over an existing
identity, or show a key in a repr or a message. Keys are told apart by an id derived from them, not reversible.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from node.crypto.primitives import KEY, NONCE, TAG, Aead, NotAuthentic, derive
from node.errors import Fatal

FILE = "root.key"
# A wrapped key names the root key it needs in its first bytes, so that a wrong one is told, not guessed.
_ID = 4
WRAPPED = _ID + NONCE + KEY + TAG
_DAMAGED = "restore the file it lies in, or this volume"


class RootKey:
    """Wraps and unwraps 32-byte keys."""

    __slots__ = ("_wrapping", "audit_key", "id", "request_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY:
            raise Fatal(f"the root key has {len(key)} bytes, not {KEY}", hint="restore the Secret that holds it")
        # The root key itself encrypts nothing; a derived key does, so that its id reveals nothing of use.
        self._wrapping = Aead(derive(key, b"wrap"))
        self.id = derive(key, b"id")[:_ID].hex()
        # Opens nothing: whoever checks the audit log may have it (`safe-node audit-key`).
        self.audit_key = derive(key, b"audit")
        # Opens nothing either: node.admin.repeats.
        self.request_key = derive(key, b"requests")

    @classmethod
    def load(cls, folder: Path) -> RootKey:
        """From `<folder>/root.key`. Raises Fatal when it is missing or not 32 bytes."""
        try:
            return cls((folder / FILE).read_bytes())
        except OSError as error:
            raise Fatal(
                f"the root key {folder / FILE} cannot be read: {error.strerror}",
                hint="restore the Secret with the root key; a new one would not open the existing data",
            ) from None

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        """Wrapped key: root key id, random nonce, ciphertext. Random nonces: a few wraps per file and rotation, far
        below the 2^32 that SP 800-38D allows for one key."""
        nonce = os.urandom(NONCE)
        return bytes.fromhex(self.id) + nonce + self._wrapping.seal(nonce, key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """The key. Raises Fatal: a wrong root key, or wrapped bytes that were changed."""
        if len(wrapped) != WRAPPED:
            raise Fatal(f"a wrapped key has {len(wrapped)} bytes, not {WRAPPED}", hint=_DAMAGED)
        needed = wrapped[:_ID].hex()
        if needed != self.id:
            raise Fatal(
                f"the data was sealed with root key {needed}, the mounted one is {self.id}",
                hint="restore the Secret that holds the original root key; nothing was changed or wiped",
            )
        try:
            return self._wrapping.open(wrapped[_ID : _ID + NONCE], wrapped[_ID + NONCE :], aad)
        except NotAuthentic:
            raise Fatal("a wrapped key has been damaged", hint=_DAMAGED) from None

    def __repr__(self) -> str:
        return f"RootKey(id={self.id})"


def create_identity(folder: Path, cluster: str) -> bool:
    """Make root key, sealing key and the two certificate authorities, once. False if the folder is there already.

    The finished folder appears by one rename, so of two callers at once exactly one wins and nobody sees half of it;
    it is on disk when this returns. What is in a folder already, complete or not, is kept as it is: a part of an
    identity is evidence of a loss, and RootKey.load and Authority.load then say what to restore.
    Raises Fatal when the place cannot be written.
    """
    from node.crypto.certs import new_authority  # keeps x509 out of the import of every unwrap
    from node.crypto.sealing import FILE as SEAL
    from node.crypto.sealing import new_seal_key

    folder = Path(os.path.abspath(folder))
    building = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        if _taken(folder):
            return False
        building.mkdir(parents=True, mode=0o700)
        try:
            _private(building / FILE, os.urandom(KEY))
            _private(building / SEAL, new_seal_key())
            for role in ("peer", "server"):
                key, certificate = new_authority(f"{cluster} {role} CA")
                _private(building / f"{role}-ca.key", key)
                _private(building / f"{role}-ca.crt", certificate)
            _sync(building)
            os.rename(building, folder)  # replaces an empty folder, never one with something in it
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        _sync(folder.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise Fatal(
            f"cannot write the identity folder {folder}: {error.strerror}",
            hint="name a folder that does not exist yet, below one that this process may write to",
        ) from None
    return True


def _taken(folder: Path) -> bool:
    """Whether there is a folder with something in it."""
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def _private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """The names in a folder are on disk only once the folder itself is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
