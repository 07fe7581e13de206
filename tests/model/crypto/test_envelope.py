"""A sealed file against the list of its records: cut, exchanged, doubled, moved to another file or damaged, a record
opens as what was sealed at that number of that file, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto.envelope import FileKeys
from node.crypto.rootkey import RootKey
from node.errors import Fatal

KEYS = FileKeys(RootKey(b"r" * 32), "c1")
RECORDS = st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=8)), min_size=1, max_size=8)


@given(RECORDS, RECORDS, st.data())
def test_a_record_opens_at_its_place_only(
    one: list[tuple[bytes, bytes]], two: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    files = []
    for records in (one, two):
        header, cipher = KEYS.create("wal")
        files.append((header, [cipher.seal(number, *record) for number, record in enumerate(records)], records))
    (header, sealed, records), (_, foreign, _) = files
    cipher = KEYS.open("wal", header)
    assert [cipher.open(n, blob, aad) for n, (blob, (_, aad)) in enumerate(zip(sealed, records, strict=True))] == [
        plain for plain, _ in records
    ]
    pool = st.sampled_from([("own", n, blob) for n, blob in enumerate(sealed)] + [("foreign", 0, b) for b in foreign])
    source, came_from, blob = data.draw(pool)
    number = data.draw(st.one_of(st.integers(0, len(records) - 1), st.integers(0, (1 << 96) - 1)))
    aad = data.draw(st.sampled_from([aad for _, aad in records]))
    cut = data.draw(st.integers(0, len(blob)))
    if source == "own" and came_from == number and aad == records[number][1] and cut == len(blob):
        assert cipher.open(number, blob, aad) == records[number][0]
    else:
        with pytest.raises(ValueError):
            cipher.open(number, blob[:cut], aad)


@given(st.integers(0, 63), st.integers(0, 7))
def test_any_changed_bit_of_a_header_is_fatal(at: int, bit: int) -> None:
    header, _ = KEYS.create("snapshot")
    with pytest.raises(Fatal):
        KEYS.open("snapshot", header[:at] + bytes([header[at] ^ 1 << bit]) + header[at + 1 :])
