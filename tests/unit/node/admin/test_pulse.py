from __future__ import annotations

from node.admin.pulse import AFTERWARDS, BEAT, HELD_UP, Pulse


class Clock:
    time = 50.0

    def now(self) -> float:
        return self.time

    def wall_ms(self) -> int:
        return 0

    def uniform(self, low: float, high: float) -> float:
        return low

    def token(self, size: int) -> bytes:
        return bytes(size)


def test_a_process_that_runs_is_never_held_up() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    for _ in range(100):
        assert not pulse.held_up()
        clock.time += BEAT * 2
        pulse.beat()


def test_held_up_is_seen_before_the_first_beat_and_for_a_moment_after_it() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat()
    clock.time += HELD_UP * 2
    assert pulse.held_up(), "the request was read before the timer ran"
    pulse.beat()
    assert pulse.held_up(), "and after it"
    clock.time += AFTERWARDS
    pulse.beat()
    assert not pulse.held_up()
