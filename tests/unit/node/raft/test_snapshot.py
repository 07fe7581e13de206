from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from node.crypto.envelope import FileKeys
from node.crypto.rootkey import RootKey
from node.errors import Fatal
from node.raft.ports import SnapshotMeta
from node.raft.snapshot import BrokenSnapshot, SnapshotFolder

KEYS = FileKeys(RootKey(b"r" * 32), "test")


class Machine:
    state: Any = None

    def apply(self, index: int, command: bytes) -> bytes:
        raise AssertionError

    def capture(self) -> Iterable[bytes]:
        return [b"canary-%d" % n for n in range(5)]

    def load(self, chunks: Iterable[bytes]) -> Any:
        return list(chunks)

    def adopt(self, state: Any) -> None:
        self.state = state


def save(folder: SnapshotFolder, index: int) -> SnapshotMeta:
    return folder.save(SnapshotMeta(index, 2, (("a",), ("b",), 3), 0, b""), Machine().capture())


def test_what_is_saved_is_loaded_and_sealed(tmp_path: Path) -> None:
    meta = save(SnapshotFolder(tmp_path, KEYS), 7)
    machine, folder = Machine(), SnapshotFolder(tmp_path, KEYS)
    folder.load(machine, log_base=0)
    assert machine.state == list(Machine().capture())
    assert folder.latest() == meta and (meta.index, meta.config) == (7, (("a",), ("b",), 3))
    assert all(b"canary" not in path.read_bytes() for path in tmp_path.iterdir())


def test_every_changed_byte_and_every_cut_is_seen(tmp_path: Path) -> None:
    save(SnapshotFolder(tmp_path, KEYS), 7)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(Fatal):
            SnapshotFolder(tmp_path, KEYS).load(Machine(), log_base=0)
        path.write_bytes(whole[:position])
        with pytest.raises(Fatal):
            SnapshotFolder(tmp_path, KEYS).load(Machine(), log_base=0)
    path.write_bytes(whole + b"x")
    with pytest.raises(Fatal, match="does not end as written"):
        SnapshotFolder(tmp_path, KEYS).load(Machine(), log_base=0)


def test_a_broken_newest_falls_back_only_if_the_log_continues_the_older(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, KEYS)
    save(folder, 7)
    save(folder, 9)
    newest = sorted(tmp_path.iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-20])
    again = SnapshotFolder(tmp_path, KEYS)
    again.load(Machine(), log_base=7)
    latest = again.latest()
    assert latest is not None and latest.index == 7
    with pytest.raises(Fatal, match=r"broken.*does not reach back") as caught:
        SnapshotFolder(tmp_path, KEYS).load(Machine(), log_base=8)
    assert "rejoins" in caught.value.hint


def test_two_generations_are_kept(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, KEYS)
    metas = [save(folder, index) for index in (3, 5, 9)]
    assert len(list(tmp_path.iterdir())) == 2
    assert folder.read(metas[0], 0, 10) == b""
    assert len(folder.read(metas[2], 0, 10)) == 10


def send(source: SnapshotFolder, target: SnapshotFolder, meta: SnapshotMeta, spoil: int = -1) -> None:
    offset = 0
    while offset < meta.size:
        piece = bytearray(source.read(meta, offset, 50))
        if offset <= spoil < offset + len(piece):
            piece[spoil - offset] ^= 1
        # Every piece arrives twice; one from elsewhere is ignored.
        assert target.receive(meta, offset, bytes(piece)) == offset + len(piece)
        assert target.receive(meta, offset, bytes(piece)) == offset + len(piece)
        offset += len(piece)


def test_a_transfer_is_verified_before_it_is_placed(tmp_path: Path) -> None:
    source, target = SnapshotFolder(tmp_path / "a", KEYS), SnapshotFolder(tmp_path / "b", KEYS)
    meta = save(source, 7)
    send(source, target, meta, spoil=meta.size // 2)
    with pytest.raises(BrokenSnapshot):
        target.finish(meta, Machine())
    assert target.latest() is None and list((tmp_path / "b").iterdir()) == []
    send(source, target, meta)
    assert target.finish(meta, Machine()) == list(Machine().capture())
    assert target.latest() == meta


def test_leftovers_of_a_crash_are_cleaned(tmp_path: Path) -> None:
    (tmp_path / "saving.part").write_bytes(b"half")
    SnapshotFolder(tmp_path, KEYS).load(Machine(), log_base=0)
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = SnapshotFolder(tmp_path / "a", KEYS), SnapshotFolder(tmp_path / "b", KEYS)
    meta = save(source, 7)
    send(source, target, meta)
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(fd: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync file")
        fsync(fd)

    def noted_rename(self: Path, to: Path) -> Path:
        events.append("rename")
        return rename(self, to)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    save(source, 9)
    target.finish(meta, Machine())
    assert events == ["sync file", "rename", "sync folder"] * 2
