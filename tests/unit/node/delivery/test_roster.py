from __future__ import annotations

import random

import pytest

from node.delivery.connection import Connection
from node.delivery.roster import BUCKETS, Roster


class Door:
    now = 1.0


def connection(roster, pod="p", serviceaccount="web"):
    made = Connection(Door())
    roster.add(made)
    made.namespace, made.serviceaccount, made.pod = "shop", serviceaccount, pod
    return made


@pytest.fixture
def roster():
    return Roster()


def test_everybody_has_one_turn_in_a_round(roster):
    made = [connection(roster) for _ in range(100)]
    seen = [each for beat in range(BUCKETS) for each in roster.turn(beat)]
    assert len(seen) == roster.count == 100 and set(seen) == set(made) == set(roster.everybody())
    assert max(len(roster.turn(beat)) for beat in range(BUCKETS)) <= 100 // BUCKETS + 1


def test_strangers_are_weighed_together_until_they_are_answered(roster):
    first, second = connection(roster), connection(roster)
    assert roster.weigh(first, 100) == 100 and roster.weigh(second, 50) == 150
    roster.leave_greeting(first)
    assert roster.greeting_bytes == 50 and roster.weigh(first, 1000) == 50
    roster.remove(second)
    roster.leave_greeting(second)
    assert roster.greeting_bytes == 0 and not roster.greeting


def test_streams_are_counted_by_pod_and_account(roster):
    first, second = connection(roster), connection(roster)
    namesake = connection(roster, serviceaccount="worker")
    roster.subscribe(first, 7)
    roster.subscribe(second, 8)
    assert (roster.streams_of_pod(first), roster.streams_of_pod(namesake)) == (2, 0)
    assert roster.unsubscribe(first) == 7 and first.subscriber == 0
    assert roster.unsubscribe(first) == 0  # a refusal and the loss of its connection both end it
    assert roster.streams_of_pod(second) == 1 and list(roster.subscribed) == [8]


def test_nothing_is_left_of_those_that_went(roster):
    rng = random.Random(11)
    here = []
    for number in range(1, 2000):
        if here and rng.random() < 0.5:
            gone = here.pop(rng.randrange(len(here)))
            roster.unsubscribe(gone)
            roster.remove(gone)
        else:
            here.append(connection(roster, pod=f"p{rng.randrange(5)}"))
            roster.weigh(here[-1], rng.randrange(1000))
            if rng.random() < 0.7:
                roster.leave_greeting(here[-1])
                roster.subscribe(here[-1], number)
    for each in here:
        roster.unsubscribe(each)
        roster.remove(each)
    assert roster.count == roster.greeting_bytes == len(roster.everybody()) == 0
    assert not (roster.subscribed or roster.greeting or roster._pods)
