"""The WAL against a plain list: whatever byte a crash cuts at, the whole batches before it are there and nothing else;
whatever byte is changed before the end, the node stops instead of reading on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import Fatal
from node.raft import walformat
from node.raft.files import Folder
from node.raft.log import Log
from node.raft.wal import Wal

# What a follower may do to its log: (action, size).
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "cut", "term", "commit"]), st.integers(0, 700)),
    min_size=1,
    max_size=25,
)


def act(log: Log, step: tuple[str, int]) -> None:
    kind, size = step
    if kind == "add":
        log.add(b"\0" + bytes(size), log.last_index + 1, log.term)
    elif kind == "cut" and log.last_index > log.commit_hint and log.last_index > log.base_index:
        log.cut_from(
            max(log.commit_hint, log.base_index) + 1 + size % (log.last_index - max(log.commit_hint, log.base_index))
        )
    elif kind == "term":
        log.setCurrentTerm(log.term + 1, f"m{size}" if size % 2 else None)
    elif kind == "commit":
        log.setRaftCommitIndex(log.commit_hint + size % (log.last_index - log.commit_hint + 1))


def state(log: Log) -> tuple[object, ...]:
    """What must be exact. The commit index on disk is a hint that may lag."""
    return (log.term, log.vote, list(log.entries))


def flush(log: Log, wal: Wal) -> None:
    ops, lsn = log.take_ops(0.0)
    wal.append(ops)
    log.made_durable(lsn)


def reopen(folder: Path, keys: object) -> tuple[Log, Wal]:
    wal = Wal(Folder(folder), keys, segment_bytes=1500)  # type: ignore[arg-type]
    return wal.load("new"), wal


@settings(max_examples=60, deadline=None)
@given(runs=st.lists(STEPS, min_size=1, max_size=3), cut=st.floats(0, 1))
def test_a_crash_at_any_byte_keeps_the_whole_batches_before_it(
    keys: object, runs: list[list[tuple[str, int]]], cut: float
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "wal"
        log, wal = reopen(folder, keys)
        for steps in runs:
            for step in steps[:-1]:
                act(log, step)
                if log.pending:
                    flush(log, wal)
            kept = state(log)
            act(log, steps[-1])
            newest = folder / sorted(p.name for p in folder.glob("wal-*"))[-1]
            before = newest.stat().st_size
            written = kept
            if log.pending:
                flush(log, wal)
                written = state(log)
            wal.close()
            last = folder / sorted(p.name for p in folder.glob("wal-*"))[-1]
            size = last.stat().st_size
            floor = before if last == newest else 0
            at = floor + int((size - floor) * cut)
            with last.open("r+b") as file:
                file.truncate(at)
            hint = log.commit_hint
            log, wal = reopen(folder, keys)
            assert wal.member == "new"
            assert log.commit_hint <= min(hint, log.last_index)
            assert state(log) == (written if at == size else kept)
            assert log.durable_index == log.last_index
        wal.close()


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, where=st.floats(0, 1), bit=st.integers(0, 7))
def test_a_changed_byte_stops_the_node_or_was_the_torn_end(
    keys: object, steps: list[tuple[str, int]], where: float, bit: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "wal"
        log, wal = reopen(folder, keys)
        for step in steps:
            act(log, step)
            if log.pending:
                flush(log, wal)
        wal.close()
        log, wal = reopen(folder, keys)  # the run before is now in closed segments
        kept = state(log)
        wal.close()
        segments = sorted(folder.glob("wal-*"))[:-1]
        victim = segments[int(where * (len(segments) - 1))]
        data = bytearray(victim.read_bytes())
        data[int(where * (len(data) - 1))] ^= 1 << bit
        victim.write_bytes(data)
        with pytest.raises(Fatal, match="wal-"):
            reopen(folder, keys)
        assert kept


def test_a_missing_and_a_foreign_segment_are_seen(keys: object, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        for _ in range(3):
            log, wal = reopen(folder, keys)
            log.setCurrentTerm(log.term + 1, None)
            flush(log, wal)
            wal.close()
    second = sorted(folders[0].glob("wal-*"))[1]
    shutil.copy(sorted(folders[1].glob("wal-*"))[1], second)
    with pytest.raises(Fatal, match="does not continue"):
        reopen(folders[0], keys)
    second.unlink()
    with pytest.raises(Fatal, match="missing"):
        reopen(folders[0], keys)


def test_the_damaged_last_record_of_a_whole_file_is_no_torn_end(keys: object, tmp_path: Path) -> None:
    log, wal = reopen(tmp_path, keys)
    log.add(b"\0" + b"x" * 900, 1, 0)
    flush(log, wal)
    wal.close()
    last = sorted(tmp_path.glob("wal-*"))[-1]
    data = bytearray(last.read_bytes())
    data[-40] ^= 1
    last.write_bytes(data)
    with pytest.raises(Fatal, match=r"damaged at byte \d+.*nothing was changed"):
        reopen(tmp_path, keys)
    # The same end with a page that never arrived is what a power loss leaves: cut away, not damage.
    data[512:1024] = bytes(len(data[512:1024]))
    last.write_bytes(data)
    reopened, wal = reopen(tmp_path, keys)
    assert reopened.last_index == 0
    wal.close()


def test_two_processes_never_share_a_folder(keys: object, tmp_path: Path) -> None:
    _, wal = reopen(tmp_path, keys)
    with pytest.raises(Fatal, match="in use"):
        Folder(tmp_path)
    wal.close()


def test_compaction_drops_whole_segments_and_the_rest_still_opens(keys: object, tmp_path: Path) -> None:
    log, wal = reopen(tmp_path, keys)
    log.setCurrentTerm(3, "me")
    for index in range(1, 60):
        log.add(b"\0" + bytes(300), index, 3)
        flush(log, wal)
    before = len(wal.segments)
    wal.drop_below(40)
    assert len(wal.segments) < before
    wal.close()
    log, wal = reopen(tmp_path, keys)
    assert log.base_index <= 40 and log.last_index == 59 and (log.term, log.vote) == (3, "me")
    wal.close()


def records(folder: Path) -> tuple[Path, list[tuple[int, int]]]:
    """The newest segment and where each of its records begins and ends."""
    path = sorted(folder.glob("wal-*"))[-1]
    data = path.read_bytes()
    parsed = walformat._parse_header(data)
    assert parsed is not None
    offset, found = parsed[1], []
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        end = offset + walformat._RECORD.size + length
        found.append((offset, end))
        offset = end
    return path, found


def six(folder: Path, keys: object) -> tuple[Path, list[tuple[int, int]]]:
    wal = Wal(Folder(folder), keys)  # type: ignore[arg-type]
    log = wal.load("new")
    for index in range(1, 7):
        log.add(b"\0" + bytes([index]) * 150, index, 0)
        flush(log, wal)
    wal.close()
    path, found = records(folder)
    assert len(found) == 7, "START and six"
    return path, found


@pytest.mark.parametrize("what", ["swapped", "dropped", "replayed", "overwritten"])
def test_a_record_out_of_its_place_is_seen(keys: object, tmp_path: Path, what: str) -> None:
    """Each is a good record of this very file; only its place is wrong. The message says where and what to do."""
    path, at = six(tmp_path, keys)
    data = path.read_bytes()
    pieces = [data[begin:end] for begin, end in at]
    where = {
        "swapped": [*pieces[:2], pieces[3], pieces[2], *pieces[4:]],
        "dropped": [*pieces[:2], *pieces[3:]],
        "replayed": [*pieces[:2], pieces[1], *pieces[2:]],
        "overwritten": [*pieces[:2], pieces[1], *pieces[3:]],
    }[what]
    path.write_bytes(data[: at[0][0]] + b"".join(where))
    with pytest.raises(Fatal, match=f"{path.name} is damaged at byte {at[2][0]}") as caught:
        reopen(tmp_path, keys)
    assert "delete this node's volume" in caught.value.hint


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_hole_before_whole_records_is_damage_and_no_torn_end(
    keys: object, tmp_path: Path, first: int, count: int
) -> None:
    """Each record was durable before the next was written, so one that is whole behind the hole proves a loss."""
    path, at = six(tmp_path, keys)
    data = bytearray(path.read_bytes())
    data[at[first][0] : at[first + count - 1][1]] = bytes(at[first + count - 1][1] - at[first][0])
    path.write_bytes(data)
    with pytest.raises(Fatal, match=f"{path.name} is damaged at byte {at[first][0]}"):
        reopen(tmp_path, keys)
    assert path.read_bytes() == data, "nothing was changed"


def test_no_limit_below_the_disks(keys: object, tmp_path: Path) -> None:
    """A record larger than a segment, and many segments."""
    log, wal = reopen(tmp_path, keys)
    for index, size in enumerate((3 << 20, 10, 2000, 2000, 2000, 1 << 20), start=1):
        log.add(b"\0" + bytes(size), index, 0)
        flush(log, wal)
    wal.close()
    again, wal = reopen(tmp_path, keys)
    assert again.entries == log.entries and len(wal.segments) > 5
    wal.close()
