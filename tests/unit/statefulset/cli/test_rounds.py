"""The pure half of the client: whom to ask next, and when to stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from statefulset.cli.rounds import BACKOFF, CONNECT, READ, Failure, Rounds, Stop, Try, Wait

SERVERS = ("https://a:1", "https://b:1", "https://c:1")


def unreachable(server: str) -> Failure:
    return Failure("unreachable", server, "connection refused")


def answered(server: str, code: str = "unavailable", after: float = 0.0) -> Failure:
    return Failure("answered", server, "not now", code, after=after)


def a_round(rounds: Rounds, now: float, kind) -> list[str]:
    """Fails one whole round; the servers in the order they were asked."""
    asked = []
    while isinstance(step := rounds.next(now), Try):
        asked.append(step.server)
        rounds.failed(kind(step.server))
    a_round.last = step
    return asked


def test_asks_in_turn_from_the_last_good_one():
    rounds = Rounds(SERVERS, 1, 0.0, 10.0, patient=True)
    assert a_round(rounds, 0.0, unreachable) == ["https://b:1", "https://c:1", "https://a:1"]


def test_patient_waits_and_asks_again_until_the_deadline():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
    assert a_round(rounds, 0.0, unreachable) == list(SERVERS)
    assert a_round.last == Wait(BACKOFF[0])
    assert a_round(rounds, 0.1, unreachable) == list(SERVERS)
    assert a_round.last == Wait(BACKOFF[0] * 2)
    assert a_round(rounds, 9.9, unreachable) == list(SERVERS)
    assert isinstance(a_round.last, Wait) and a_round.last.seconds <= 0.11
    end = rounds.next(10.0)
    assert isinstance(end, Stop) and len(end.failures) == 3


def test_an_impatient_one_stops_when_nobody_can_be_reached():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=False)
    a_round(rounds, 0.0, unreachable)
    assert isinstance(a_round.last, Stop)


def test_an_impatient_one_still_waits_for_a_node_that_answers_not_now():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=False)
    a_round(rounds, 0.0, answered)
    assert isinstance(a_round.last, Wait)


def test_no_quorum_from_every_reachable_node_ends_it():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
    a_round(rounds, 0.0, lambda s: unreachable(s) if s == SERVERS[0] else answered(s, "no_quorum"))
    assert isinstance(a_round.last, Stop)
    assert a_round.last.best().code == "no_quorum"


def test_no_quorum_from_some_does_not_end_it():
    for other in (answered, lambda s: Failure("lost", s, "connection lost")):
        rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
        a_round(rounds, 0.0, lambda s, other=other: other(s) if s == SERVERS[0] else answered(s, "no_quorum"))
        assert isinstance(a_round.last, Wait)


def test_an_untrusted_certificate_everywhere_ends_it():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
    a_round(rounds, 0.0, lambda s: Failure("untrusted", s, "self-signed"))
    assert isinstance(a_round.last, Stop) and a_round.last.best().kind == "untrusted"


def test_retry_after_is_honoured_up_to_the_longest_pause():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
    a_round(rounds, 0.0, lambda s: answered(s, after=30.0))
    assert a_round.last == Wait(BACKOFF[1])


def test_a_hanging_server_leaves_time_for_the_others():
    rounds = Rounds(SERVERS, 0, 0.0, 10.0, patient=True)
    first = rounds.next(0.0)
    assert isinstance(first, Try) and first.connect <= CONNECT and first.read <= 5.0
    rounds.failed(Failure("lost", first.server, "no answer in time"))
    second = rounds.next(first.read)
    assert isinstance(second, Try) and second.server == SERVERS[1] and second.read > 0


def test_the_best_failure_is_an_answer():
    stop = Stop((unreachable("a"), Failure("lost", "b", "lost"), answered("c", "sealed")))
    assert stop.best().code == "sealed"


@given(
    st.lists(st.sampled_from(["unreachable", "lost", "untrusted", "answered"]), min_size=1, max_size=60),
    st.floats(0.1, 60),
    st.booleans(),
    st.integers(1, 5),
)
def test_it_always_ends_and_never_waits_past_the_deadline(kinds, timeout, patient, count):
    servers = tuple(f"https://n{i}:1" for i in range(count))
    rounds, now, step = Rounds(servers, 0, 0.0, timeout, patient=patient), 0.0, None
    for turn in range(10_000):
        step = rounds.next(now)
        if isinstance(step, Stop):
            break
        if isinstance(step, Wait):
            assert step.seconds > 0 and now + step.seconds <= timeout + 1e-6
            now += step.seconds
        else:
            assert step.read <= READ and step.connect <= CONNECT
            now += 0.01
            rounds.failed(Failure(kinds[turn % len(kinds)], step.server, "x"))
    assert isinstance(step, Stop) and step.failures
    assert now <= timeout + 0.01 * count + 1e-6
