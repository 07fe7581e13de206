from __future__ import annotations

from node.raft.membership import Config, check_change
from node.raft.steward import next_step

NAMES = {"a", "b", "c"}
FULL = Config(("a.1", "b.1", "c.1"))


def run(config: Config, connected: set[str]) -> list[Config]:
    """Let the steward act until it has nothing to do; every learner is level with the leader."""
    steps: list[Config] = []
    while (change := next_step(config, connected, set(config.learners), NAMES)) is not None:
        assert check_change(config, change) == ""
        config = change
        steps.append(config)
        assert len(steps) < 10
    return steps


def test_a_new_disk_learns_then_replaces_the_old_one() -> None:
    steps = run(FULL, {"a.1", "b.1", "c.2"})
    assert steps == [
        Config(("a.1", "b.1", "c.1"), ("c.2",)),
        Config(("a.1", "b.1"), ("c.2",)),
        Config(("a.1", "b.1", "c.2")),
    ]


def test_a_learner_that_lags_does_not_vote() -> None:
    config = Config(FULL.voters, ("c.2",))
    assert next_step(config, {"a.1", "b.1", "c.2"}, set(), NAMES) is None


def test_a_voter_is_not_removed_when_the_rest_could_not_commit_it() -> None:
    config = Config(FULL.voters, ("c.2",))
    assert next_step(config, {"a.1", "c.2"}, {"c.2"}, NAMES) is None


def test_names_that_do_not_belong_stay_out() -> None:
    assert run(FULL, {"a.1", "b.1", "c.1", "z.1"}) == []


def test_a_disk_lost_twice_leaves_no_learner_behind() -> None:
    config = Config(FULL.voters, ("c.2",))
    assert run(config, {"a.1", "b.1", "c.3"})[-1] == Config(("a.1", "b.1", "c.3"))


def test_changes_that_are_refused() -> None:
    assert "one voter at a time" in check_change(FULL, Config(("a.1",)))
    assert "at least one" in check_change(FULL, Config())
    assert "learner before" in check_change(FULL, Config(("a.1", "b.1", "c.1", "d.1")))
    assert "not both" in check_change(FULL, Config(FULL.voters, ("a.1",)))


def test_scale_down_goes_one_by_one_and_the_dead_leave_first() -> None:
    five = Config(("a.1", "b.1", "c.1", "d.1", "e.1"))
    steps = run(five, {"a.1", "b.1", "c.1", "d.1"})
    assert steps == [Config(("a.1", "b.1", "c.1", "d.1")), Config(("a.1", "b.1", "c.1"))]


def test_scale_down_waits_while_the_rest_could_not_commit_it() -> None:
    five = Config(("a.1", "b.1", "c.1", "d.1", "e.1"))
    assert run(five, {"a.1", "d.1"}) == []


SAFE = Config(tuple(f"safe-{ordinal}.1" for ordinal in range(5)), (), 3)


def removed(own: str, config: Config = SAFE) -> list[str]:
    """Voters in the order in which they leave, until nothing is left to do but for the leader itself."""
    order: list[str] = []
    names = config.wanted(())
    while (change := next_step(config, set(config.members), set(), names, own)) is not None:
        order += sorted(set(config.voters) - set(change.voters))
        config = change
    return order


def test_scale_down_takes_the_highest_ordinal_first_and_the_leader_last() -> None:
    assert removed("safe-0.1") == ["safe-4.1", "safe-3.1"]
    assert removed("safe-4.1") == ["safe-3.1", "safe-4.1"]
    twelve = Config(tuple(f"safe-{ordinal}.1" for ordinal in (0, 2, 9, 10)), (), 3)
    assert removed("safe-0.1", twelve) == ["safe-10.1", "safe-9.1"]


def test_a_learner_that_is_not_wanted_any_more_leaves_though_it_is_here() -> None:
    config = Config(SAFE.voters[:3], ("safe-3.1",), 3)
    assert next_step(config, set(config.members), set(), config.wanted(())) == Config(SAFE.voters[:3], (), 3)
