"""The data keys that seal secret values, by generation, and the sealing itself.

Why it exists: values are sealed before they enter Raft, so log, snapshot and memory image hold ciphertext. Data keys
live wrapped in the replicated map; every node unwraps them with the root key.
What it refuses to do: seal without a data key, open under another name, write or generation than the value was sealed
for, or put a value into an error.

Each write derives its own key from the data key and its random 128-bit write id, and draws a random nonce: two writes
share a key and nonce only if 224 random bits agree, so there is no count of writes after which a key must be changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgpack

from node.crypto.primitives import KEY, NONCE, Aead, NotAuthentic, derive
from node.crypto.rootkey import RootKey
from node.errors import Retry

WRITE_ID = 16


class Keyring:
    """Seals and opens the fields of one secret as one blob."""

    def __init__(self, root: RootKey, cluster: str) -> None:
        self._root, self._cluster = root, cluster
        self._keys: dict[int, bytes] = {}
        self._store = ""

    @property
    def generation(self) -> int:
        """The newest data key's generation, 0 when there is none yet."""
        return max(self._keys, default=0)

    @property
    def generations(self) -> int:
        """How many data keys are known here."""
        return len(self._keys)

    @property
    def store(self) -> str:
        """The identity of the store, 32 hexadecimal digits, "" while there is no data key yet.

        The first data key is drawn once in a store's life, replicated, and never replaced, so a name derived from it
        lives exactly as long as the history that versions and indexes count in. Nothing of the key shows in it.
        """
        return self._store

    def _wrap_aad(self, generation: int) -> bytes:
        return f"data key\0{self._cluster}\0{generation}".encode()

    def absorb(self, keys: Mapping[int, bytes]) -> None:
        """Take over wrapped data keys from the replicated map. Raises Fatal when the root key does not fit."""
        for generation, wrapped in keys.items():
            if generation not in self._keys:
                self._keys[generation] = self._root.unwrap(wrapped, self._wrap_aad(generation))
        if self._keys and not self._store:
            first = self._keys[min(self._keys)]
            self._store = derive(first, b"store identity", self._cluster.encode())[:16].hex()

    def new_key(self, generation: int) -> bytes:
        """A new random data key, wrapped; in use only once it comes back through `absorb`."""
        return self._root.wrap(os.urandom(KEY), self._wrap_aad(generation))

    def _write_key(self, generation: int, write_id: bytes) -> Aead:
        return Aead(derive(self._keys[generation], b"value", write_id))

    def _aad(self, name: str, generation: int, write_id: bytes) -> bytes:
        return f"value\0{self._cluster}\0{name}\0{generation}\0".encode() + write_id

    def seal_value(self, name: str, write_id: bytes, fields: Mapping[str, bytes]) -> tuple[int, bytes]:
        """(generation, sealed fields). Raises Retry while this node knows no data key."""
        generation = self.generation
        if not generation:
            raise Retry(
                "this node has no data key yet", code="unavailable", hint="the first leader makes one; try again"
            )
        nonce = os.urandom(NONCE)
        plain = msgpack.packb(dict(sorted(fields.items())))
        sealed = self._write_key(generation, write_id).seal(nonce, plain, self._aad(name, generation, write_id))
        return generation, nonce + sealed

    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> dict[str, bytes]:
        """The fields. Raises NotAuthentic when the data key is unknown here or the value was not sealed so."""
        if generation not in self._keys:
            raise NotAuthentic(f"data key generation {generation} is not known here")
        aead = self._write_key(generation, write_id)
        plain = aead.open(sealed[:NONCE], sealed[NONCE:], self._aad(name, generation, write_id))
        fields: dict[str, bytes] = msgpack.unpackb(plain)
        return fields

    def __repr__(self) -> str:
        return f"Keyring(generations={sorted(self._keys)})"
