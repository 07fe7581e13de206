"""Never more than asked, the same again by the seed, quiet at both ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulset.chaos.plan import PlanError, plan, size

PODS = tuple(f"safe-{number}" for number in range(5))


@given(
    st.integers(1, 9), st.integers(2, 60), st.integers(0, 100), st.sampled_from(["parallel", "serial"]), st.integers()
)
def test_never_more_than_asked_and_only_inside_the_run(pods, rounds, percentage, sequence, seed):
    names = [f"safe-{number}" for number in range(pods)]
    kills = plan(names, rounds * 7.0, 7.0, percentage, sequence, seed)
    assert kills == plan(list(reversed(names)), rounds * 7.0, 7.0, percentage, sequence, seed)
    assert [kill.at for kill in kills] == [7.0 * (turn + 1) for turn in range(rounds - 1)]
    for kill in kills:
        assert len(kill.pods) == len(set(kill.pods)) == (1 if sequence == "serial" else size(pods, percentage))
        assert set(kill.pods) <= set(names)


@pytest.mark.parametrize(("percentage", "pods"), [(0, 1), (19, 1), (39, 1), (40, 2), (60, 3), (100, 5)])
def test_a_percentage_is_rounded_down_to_one_pod_at_least(percentage, pods):
    assert size(5, percentage) == pods


def test_serial_takes_every_pod_of_a_round_before_the_next_round():
    kills = plan(PODS, 110.0, 10.0, 100, "serial", 3)
    assert [sorted(kill.pods[0] for kill in kills[turn : turn + 5]) for turn in (0, 5)] == [list(PODS)] * 2


def test_seeds_differ():
    assert len({plan(PODS, 100.0, 10.0, 0, "parallel", seed) for seed in range(20)}) > 15


@pytest.mark.parametrize(
    ("pods", "duration", "interval", "percentage"),
    [((), 100, 10, 0), (PODS, 19, 10, 0), (PODS, 100, 0, 0), (PODS, 100, 10, 101), (PODS, 1e6, 1, 0)],
)
def test_what_cannot_be_planned_is_refused(pods, duration, interval, percentage):
    with pytest.raises(PlanError):
        plan(pods, duration, interval, percentage, "parallel", 1)
