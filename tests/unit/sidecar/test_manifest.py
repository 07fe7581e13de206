"""The manifest: what a restarted sidecar may believe."""

from __future__ import annotations

import json

import pytest

from sidecar import manifest as mf
from sidecar.manifest import Entry, Manifest

GOOD = Manifest(7, True, {"a/b": Entry(3, "b", ("value",)), "c/d": Entry(1, "@c/d", ("k", "l"))}, {"a/b": 3, "x/y": 9})


def test_round_trip_and_versions():
    assert mf.decode(mf.encode(GOOD)) == GOOD
    assert GOOD.versions() == {"a/b": 3, "c/d": 1}


def test_layout():
    assert mf.layout("shop/db", "shop") == "db"
    assert mf.layout("other/db", "shop") == "@other/db"
    assert mf.layout("shop/db", "") == "@shop/db"


@pytest.mark.parametrize("name", ["db", "shop/../db", "../db", "shop/", "/db", "shop/.db", "shop/d\0b"])
def test_no_path_is_made_of_what_is_no_name(name):
    with pytest.raises(ValueError, match="not the name"):
        mf.layout(name, "shop")


def test_a_plain_value_is_a_file_and_others_a_folder():
    assert list(Entry(1, "b", ("value",)).files()) == [("value", "b")]
    assert list(Entry(1, "@c/d", ("k", "value")).files()) == [("k", "@c/d/k"), ("value", "@c/d/value")]
    assert Entry(1, "@c/d", ("k",)).top == "@c"


def change(**parts):
    return {**json.loads(mf.encode(GOOD)), **parts}


def entry(**parts):
    return change(secrets={"a/b": {"version": 3, "path": "b", "fields": ["value"], **parts}})


@pytest.mark.parametrize(
    "body",
    [
        None, 1, [], {}, change(format=2), change(complete=1), change(index=-1), change(index="1"), change(secrets=[]),
        change(floors={"a/b": 0}), change(floors={"../b": 1}), change(secrets={"a/../b": {}}), entry(version=0),
        entry(path="../../etc/passwd"), entry(path="/b"), entry(path="c"), entry(fields=[]), entry(fields=["../x"]),
        entry(fields=["k", "k"]), entry(fields=[1]), entry(fields="value"), entry(version=True),
        change(secrets={"a/b": {"version": 1, "path": "b", "fields": ["value"]},
                        "c/b": {"version": 1, "path": "b", "fields": ["value"]}}),
    ],
)  # fmt: skip
def test_one_bad_entry_and_it_is_none(body):
    assert mf.decode(json.dumps(body).encode()) is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_none(data):
    assert mf.decode(data) is None


def test_load_bounds_what_it_reads(tmp_path, monkeypatch):
    (tmp_path / mf.FILE).write_bytes(mf.encode(GOOD))
    assert mf.load(str(tmp_path)) == GOOD
    assert mf.load(str(tmp_path / "none")) is None
    monkeypatch.setattr(mf, "MAX_BYTES", 10)
    assert mf.load(str(tmp_path)) is None


def test_the_store_and_what_is_of_a_former_one():
    made = Manifest(7, True, GOOD.secrets, GOOD.floors, {}, "one", frozenset({"a/b"}))
    assert mf.decode(mf.encode(made)) == made
    older = {key: part for key, part in change().items() if key not in ("store", "former")}
    assert mf.decode(json.dumps(older).encode()) == GOOD, "one written before there was an identity"
    for parts in ({"store": 1}, {"former": ["x/y"]}, {"former": [[]]}, {"former": 1}):
        assert mf.decode(json.dumps(change(**parts)).encode()) is None
