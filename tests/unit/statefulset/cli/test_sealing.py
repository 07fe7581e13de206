from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from node.crypto.sealing import SealKey, new_seal_key
from statefulset.cli.errors import CliError
from statefulset.cli.sealing import public_key, seal

VECTOR = json.loads((Path(__file__).parents[3] / "vectors" / "sealed.json").read_text())


def test_what_is_sealed_here_opens_there() -> None:
    key = SealKey(new_seal_key())
    fields = {"user": b"root", "password": bytes(range(256)), "empty": b""}
    sealed = seal(key.public, "payments/db", fields)
    assert {field: key.open("payments/db", field, text) for field, text in sealed.items()} == fields


def test_the_form_is_the_vectors() -> None:
    public = bytes.fromhex(VECTOR["public_key"])
    text = seal(public, VECTOR["name"], {VECTOR["field"]: VECTOR["value"].encode()})[VECTOR["field"]]
    assert len(text) == len(VECTOR["sealed"]) and text != VECTOR["sealed"]
    assert base64.b64decode(text[6:])[:4].hex() == VECTOR["key_id"]


def test_no_two_are_alike() -> None:
    public = bytes.fromhex(VECTOR["public_key"])
    assert len({seal(public, "a/b", {"c": b"v"})["c"] for _ in range(8)}) == 8


def test_the_public_key() -> None:
    raw = bytes.fromhex(VECTOR["public_key"])
    assert public_key(base64.b64encode(raw).decode() + "\n") == raw
    for wrong in ("", "x", base64.b64encode(raw[:31]).decode(), "é" * 44):
        with pytest.raises(CliError, match="no sealing key"):
            public_key(wrong)
