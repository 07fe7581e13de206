"""Made-up acknowledgements and sightings: what was lost, late or too little is said."""

from __future__ import annotations

import pytest

from statefulset.chaos import lags
from statefulset.chaos.history import Ack
from statefulset.chaos.lags import Phase


def ack(number: int, at: float, secret: str = "demo/set", version: int = 0) -> Ack:
    return Ack(secret, number, version or number, at - 0.01, at)


def phases(promise: float | None = 1.0, least: int = 0) -> list[Phase]:
    out = [Phase("steady", 0.0), Phase("kill", 10.0, promise, least), Phase("end", 20.0)]
    lags.close(out, 30.0)
    return out


def test_lag_is_until_this_write_or_a_newer_one() -> None:
    seen = [(1, 1.0), (3, 3.5), (4, 4.0)]
    assert lags.lag(ack(2, 3.0), seen) == pytest.approx(0.5)
    assert lags.lag(ack(3, 3.6), seen) == 0.0, "in place before the acknowledgement was here"
    assert lags.lag(ack(5, 4.0), seen) is None


def test_a_write_that_one_pod_never_showed_is_lost() -> None:
    found = phases()
    seen = {"a": {"demo/set": [(1, 1.0), (2, 12.0)]}, "b": {"demo/set": [(1, 1.0)]}}
    lost = lags.sort_in(found, [ack(1, 1.0), ack(2, 11.0)], seen)
    assert lost == ["b never showed write 2 of demo/set, version 2"]
    assert [phase.writes for phase in found] == [1, 1, 0]
    assert found[1].lags == [pytest.approx(1.0)]


def test_a_secret_concerns_only_the_pods_that_are_granted_it() -> None:
    found = phases()
    seen = {"a": {"demo/own-a": [(1, 1.0)]}, "b": {"demo/own-b": [(1, 1.0)]}}
    assert lags.sort_in(found, [ack(1, 1.0, "demo/own-a")], seen) == []


@pytest.mark.parametrize("late", ["lags", "attached"])
def test_a_promise_that_was_not_kept(late: str) -> None:
    found = phases()
    found[0].lags, found[1].stall = [0.1], 0.2
    setattr(found[1], late, [0.1, 1.39])
    assert lags.verdicts(found, found[0]) == []
    setattr(found[1], late, [0.1, 1.41])
    (line,) = lags.verdicts(found, found[0])
    assert line.startswith("kill: worst") and "1 of 2" in line


def test_nothing_is_asserted_of_a_phase_without_a_promise() -> None:
    found = phases(None)
    found[1].lags = [50.0]
    assert lags.verdicts(found, found[0]) == []


def test_an_idle_phase_is_a_failure() -> None:
    found = phases(least=2)
    lags.sort_in(found, [ack(1, 11.0)], {})
    assert lags.verdicts(found, found[0]) == ["kill: 1 acknowledged writes are too few to tell (2)"]
