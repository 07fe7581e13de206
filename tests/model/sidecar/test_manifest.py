"""Manifests: ours come back as they were, and any other bytes are none, never an exception."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar import manifest as mf
from sidecar.manifest import Entry, Manifest

names = st.from_regex(r"[a-z]{1,6}/[a-z]{1,6}", fullmatch=True)
fields = st.lists(st.from_regex(r"[A-Za-z0-9]{1,5}", fullmatch=True), min_size=1, max_size=4, unique=True).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.integers(0, 1 << 62),
    st.booleans(),
    st.dictionaries(names, st.tuples(st.integers(1, 99), fields), max_size=5),
    st.dictionaries(names, st.integers(1, 99), max_size=5),
)
def test_round_trip(index, complete, held, floors):
    secrets = {name: Entry(version, mf.layout(name, "a"), kept) for name, (version, kept) in held.items()}
    made = Manifest(index, complete, secrets, floors)
    assert mf.decode(mf.encode(made)) == made


@given(st.binary(max_size=200))
def test_any_bytes(data):
    found = mf.decode(data)
    assert found is None or isinstance(found, Manifest)


@given(JSON, JSON, JSON, JSON)
def test_any_json_in_our_shape(index, complete, secrets, floors):
    import json

    body = {"format": 1, "index": index, "complete": complete, "secrets": secrets, "floors": floors}
    found = mf.decode(json.dumps(body).encode())
    assert found is None or all(".." not in entry.path for entry in found.secrets.values())
