"""`safe seal` against a store, and its manifest against the store's own reading of it."""

from __future__ import annotations

from pathlib import Path

import yaml


def test_a_manifest_that_the_store_opens(safe, server) -> None:
    done = safe("seal", "payments/db", "--for", "payments/api", "--expires", "2031-01-01T00:00:00Z", stdin=b"s3cret")
    assert done.code == 0, done.error
    document = yaml.safe_load(done.text)
    assert document["metadata"] == {"name": "db", "namespace": "payments"}
    spec = document["spec"]
    assert spec["grants"] == ["payments/api"] and spec["deletionPolicy"] == "Delete"
    assert str(spec["expires"]).startswith("2031-01-01")
    opened = server.node.sealing.open("payments/db", "value", spec["sealed"]["value"])
    assert opened == b"s3cret" and b"s3cret" not in done.out


def test_with_a_key_in_a_file_no_store_is_asked(safe, server, tmp_path: Path) -> None:
    key = safe("seal", "--print-key")
    assert key.code == 0 and len(key.text.strip()) == 44
    (tmp_path / "key").write_bytes(key.out)
    done = safe("seal", "a/b", "--key", str(tmp_path / "key"), stdin=b"v", SAFE_SERVER="https://127.0.0.1:1")
    assert done.code == 0, done.error
    assert server.node.sealing.open("a/b", "value", yaml.safe_load(done.text)["spec"]["sealed"]["value"]) == b"v"


def test_what_cannot_be(safe, tmp_path: Path) -> None:
    (tmp_path / "no-key").write_text("nonsense")
    assert safe("seal", "a/b", "--key", str(tmp_path / "no-key"), stdin=b"v").code == 2
    assert safe("seal", "a/b", "--key", str(tmp_path / "missing"), stdin=b"v").code == 2
    assert safe("seal", stdin=b"v").code == 2
    stray = safe("seal", "a/b", "canary-value", stdin=b"")
    assert stray.code == 2 and "canary" not in stray.error
