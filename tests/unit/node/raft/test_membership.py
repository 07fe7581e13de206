"""The rules of configurations: who is wanted, who may come in, and what outlives what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from node.errors import Fatal
from node.raft import codec
from node.raft.core import Core
from node.raft.log import Log
from node.raft.membership import MAX_SIZE, Config, check_change
from node.raft.ports import SnapshotMeta, Timing

SPOKEN = frozenset({"safe-0"})  # what SAFE_PEERS says


class Clock:
    def now(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        return high


class Machine:
    def apply(self, index: int, command: bytes) -> bytes:
        return b""

    def capture(self) -> Iterable[bytes]:
        return []

    def load(self, chunks: Iterable[bytes]) -> Any: ...
    def adopt(self, state: Any) -> None: ...


class Snapshots:
    def __init__(self, meta: SnapshotMeta | None = None) -> None:
        self.meta = meta

    def latest(self) -> SnapshotMeta | None:
        return self.meta

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        return b""

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        return 0


def members(*ordinals: int) -> tuple[str, ...]:
    return tuple(f"safe-{ordinal}.1" for ordinal in ordinals)


def core(*configs: Config, committed: int, snapshot: SnapshotMeta | None = None) -> Core:
    """safe-0 with these configurations in its log, at index 1, 2, ..., (after the snapshot)."""
    log = Log()
    if snapshot is not None:
        log.entries = [(b"", snapshot.index, snapshot.term)]
    for config in configs:
        log.add(config.entry(), log.last_index + 1, 1)
    log.setRaftCommitIndex(committed)
    return Core("safe-0.1", log, Machine(), Snapshots(snapshot), Clock(), Timing())


def test_the_decided_size_beats_the_configured_names() -> None:
    config = Config(members(0, 1, 2))
    assert config.wanted({"safe-0", "safe-1"}) == {"safe-0", "safe-1"}
    assert config.with_(size=4).wanted({"safe-0"}) == {"safe-0", "safe-1", "safe-2", "safe-3"}


def test_a_configuration_in_an_entry_and_in_a_snapshot_is_the_same_after_a_restart() -> None:
    config = Config(members(0, 1), members(2), 3)
    assert Config.parse(config.entry()) == config
    meta = SnapshotMeta(9, 1, (config.voters, config.learners, config.size), 0, b"")
    assert SnapshotMeta.parse(codec.unpack(codec.pack(meta.packed()))) == meta
    assert core(committed=0, snapshot=meta).config == config
    newer = config.with_(voters=set(members(0, 1, 2)), learners=set(), size=5)
    assert core(newer, committed=10, snapshot=meta).config == newer


def test_a_cut_entry_takes_its_configuration_with_it() -> None:
    one, two = Config(members(0, 1, 2)), Config(members(0, 1, 2), (), 5)
    node = core(one, two, committed=1)
    assert node.config == two
    node.cut_configs(2)
    assert node.config == one


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1, True, "3"])
def test_a_size_that_makes_no_sense_is_refused(size: Any) -> None:
    old = Config(members(0, 1, 2), (), 3)
    assert "1 to 9 members" in check_change(old, Config(old.voters, (), size))


def test_who_was_removed_stays_out() -> None:
    node = core(Config(members(0, 1, 2, 3), (), 5), Config(members(0, 1, 2), (), 3), committed=2)
    assert "safe-3 is not a member" in node.refuses("safe-3", SPOKEN, 1)
    assert node.refuses("safe-3", SPOKEN, 2)  # what it knows is known here too
    assert node.refuses("other", SPOKEN, 0)
    for name in ("safe-0", "safe-1", "safe-2"):
        assert node.refuses(name, frozenset(), 0) == ""


def test_a_removal_counts_when_it_is_committed() -> None:
    node = core(Config(members(0, 1, 2, 3), (), 4), Config(members(0, 1, 2), (), 3), committed=1)
    assert node.refuses("safe-3", SPOKEN, 1) == ""


def test_who_is_wanted_or_configured_comes_in() -> None:
    node = core(Config(members(0, 1, 2), (), 4), committed=1)
    assert node.refuses("safe-3", SPOKEN, 0) == ""
    assert node.refuses("safe-4", SPOKEN, 0) != ""
    assert node.refuses("safe-4", frozenset({"safe-4"}), 0) == ""


def test_a_member_with_an_old_configuration_lets_a_leader_in_that_it_does_not_know() -> None:
    """Only that leader can tell it what the cluster looks like now."""
    node = core(Config(members(0, 1, 2), (), 3), committed=1)
    assert node.refuses("safe-4", SPOKEN, 17) == ""


def test_a_blank_disk_judges_nobody() -> None:
    assert core(committed=0).refuses("safe-9", SPOKEN, 0) == ""


def test_bootstrap_is_for_blank_disks_that_are_named() -> None:
    with pytest.raises(Fatal, match="already belongs"):
        core(Config(members(0)), committed=1).bootstrap(members(0, 1))
    with pytest.raises(Fatal, match="not among"):
        core(committed=0).bootstrap(members(1, 2))
