"""When each round is handed out, on a clock that only moves when somebody sleeps or strikes."""

from __future__ import annotations

import pytest

from statefulset.chaos import pace
from statefulset.chaos.plan import Kill

KILLS = tuple(Kill(at, (f"safe-{number}",)) for number, at in enumerate((10.0, 20.0, 30.0)))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def struck(clock: Clock, duration: float, each: float) -> list[tuple[float, Kill]]:
    """Times since the beginning; `each`: seconds until those who were struck are back."""
    out = []
    for kill in pace.paced(KILLS, duration):
        out.append((clock.now - 1000.0, kill))
        clock.now += each
    return out


def test_each_has_its_time_and_the_run_lasts_as_long_as_it_should(clock: Clock) -> None:
    assert struck(clock, 40.0, 3.0) == list(zip((10.0, 20.0, 30.0), KILLS, strict=True))
    assert clock.now == 1040.0


def test_one_that_is_late_is_struck_at_once_and_one_that_is_too_late_not_at_all(clock: Clock) -> None:
    assert struck(clock, 40.0, 15.0) == [(10.0, KILLS[0]), (25.0, KILLS[1])]
    assert clock.now == 1040.0


def test_who_stops_does_not_wait_for_the_end(clock: Clock) -> None:
    for _ in pace.paced(KILLS, 40.0):
        break
    assert clock.now == 1010.0
