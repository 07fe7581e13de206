from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulset.cli.dev.check.plaintext import files_below, needles, resident_kib, search

values = st.binary(min_size=8, max_size=400)


@given(values, st.binary(max_size=7), st.binary(max_size=7))
def test_a_value_is_found_in_every_dress(value: bytes, before: bytes, after: bytes) -> None:
    whole = before + value + after
    for dress in (
        whole,
        whole.hex().encode(),
        whole.hex().upper().encode(),
        base64.b64encode(whole),
        base64.urlsafe_b64encode(whole),
    ):
        assert any(needle in dress for needle in needles(value))


@given(values)
def test_no_needle_is_so_short_that_chance_finds_it(value: bytes) -> None:
    assert min(map(len, needles(value))) >= 8


def test_a_part_of_a_long_value_is_enough() -> None:
    value = os.urandom(1 << 20)
    wanted = needles(value)
    for part in (value[:64], value[-64:], value[1 << 19 : (1 << 19) + 64]):
        assert any(needle in part for needle in wanted)
    assert not any(needle in os.urandom(1 << 16) for needle in wanted)


def test_search_names_the_files_and_counts_what_it_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "hit").write_bytes(b"..canary-0123456789..")
    (tmp_path / "miss").write_bytes(b"nothing")
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "hit")
    paths = [*files_below([tmp_path]), tmp_path / "gone"]
    found, searched = search(paths, needles(b"canary-0123456789"))
    assert found == [tmp_path / "deep" / "hit"]
    assert searched == 28


@pytest.mark.parametrize(("pid", "there"), [(os.getpid(), True), (0, False)], ids=["own", "none"])
def test_resident_memory(pid: int, there: bool) -> None:
    assert (resident_kib(pid) > 1000) is there
