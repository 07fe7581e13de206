"""The steward against any order of events: disks come, go and are replaced, sizes are decided, learners catch up.

Whatever happens, each step is one that the rules allow, two configurations that follow each other share a voter in
every pair of their majorities, no step is taken that those present could not commit, and once all that is wanted is
here and level, exactly that votes."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.raft.membership import Config, check_change, name_of
from node.raft.steward import next_step

ORDINALS = st.integers(0, 4)


def majorities(config: Config) -> list[set[str]]:
    return [set(some) for some in itertools.combinations(config.voters, config.quorum)]


class Steward(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.config = Config(("safe-0.1", "safe-1.1", "safe-2.1"), (), 3)
        # The leader's own disk never goes: another one would lead then, with a view of its own.
        self.here = {"safe-0.1", "safe-1.1", "safe-2.1"}
        self.level: set[str] = set()
        self.disks = dict.fromkeys(range(5), 1)

    @rule(ordinal=ORDINALS)
    def comes(self, ordinal: int) -> None:
        self.here.add(f"safe-{ordinal}.{self.disks[ordinal]}")

    @rule(ordinal=ORDINALS)
    def goes(self, ordinal: int) -> None:
        if ordinal:
            self.here -= {m for m in self.here if name_of(m) == f"safe-{ordinal}"}

    @rule(ordinal=ORDINALS)
    def loses_its_disk(self, ordinal: int) -> None:
        if ordinal:
            self.goes(ordinal)
            self.disks[ordinal] += 1

    @rule(size=st.integers(1, 5))
    def is_resized(self, size: int) -> None:
        new = self.config.with_(size=size)
        assert check_change(self.config, new) == ""
        self.config = new

    @rule()
    def catches_up(self) -> None:
        self.level = set(self.config.learners) & self.here

    @rule()
    def steps(self) -> None:
        self.step()

    def step(self) -> bool:
        old = self.config
        new = next_step(old, self.here, self.level, old.wanted(()), "safe-0.1")
        if new is None:
            return False
        assert check_change(old, new) == ""
        assert all(one & two for one in majorities(old) for two in majorities(new))
        joined, left = set(new.voters) - set(old.voters), set(old.voters) - set(new.voters)
        assert joined <= self.level & self.here, "a vote for one that has not caught up"
        if left:
            assert len(set(new.voters) & self.here) >= new.quorum, "a removal that could not be committed"
        self.config = new
        return True

    @invariant()
    def the_leader_is_safe(self) -> None:
        assert "safe-0.1" in self.config.voters

    def teardown(self) -> None:
        """Everyone who is wanted comes and catches up: then the cluster is as it was decided."""
        for ordinal in range(5):
            self.goes(ordinal)
            if ordinal < self.config.size:
                self.comes(ordinal)
        wanted = {f"safe-{ordinal}.{self.disks[ordinal]}" for ordinal in range(self.config.size)}
        for _ in range(40):
            self.catches_up()
            if not self.step():
                break
        # A majority of the old voters may be gone for good; then nothing may be removed, and nobody loses a vote.
        if len(set(self.config.voters) & self.here) >= self.config.quorum:
            assert set(self.config.voters) == wanted and not self.config.learners


TestSteward = Steward.TestCase
