"""Replicas with clocks of their own and an API server that orders writes: never two at work at once."""

from __future__ import annotations

import datetime
import random

import pytest

from statefulset.controller.lease import DURATION, Election

WALL = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)


def test_the_first_takes_it_and_the_second_waits() -> None:
    one, two = Election("a"), Election("b")
    write = one.step(None, 0.0, WALL)
    assert write is not None
    one.written(True, 0.0)
    assert one.leading(DURATION - 0.1) and not one.leading(DURATION)
    lease = {"spec": write.spec}
    assert two.step(lease, 1.0, WALL) is None
    assert two.step(lease, DURATION + 0.9, WALL) is None
    taken = two.step(lease, DURATION + 1.0, WALL)
    assert taken is not None and taken.spec["leaseTransitions"] == 1 and taken.spec["holderIdentity"] == "b"


def test_a_released_one_is_taken_at_once() -> None:
    one, two = Election("a"), Election("b")
    write = one.step(None, 0.0, WALL)
    assert write is not None
    one.written(True, 0.0)
    released = one.release({"spec": write.spec})
    assert released is not None and not one.leading(0.1)
    assert two.step({"spec": released.spec}, 0.2, WALL) is not None
    assert two.release({"spec": released.spec}) is None


def test_a_write_that_failed_gives_nothing() -> None:
    one = Election("a")
    assert one.step(None, 0.0, WALL) is not None
    one.written(False, 0.0)
    assert not one.leading(0.1)


def test_wall_clocks_that_are_wrong_do_not_matter() -> None:
    one, two = Election("a"), Election("b")
    write = one.step(None, 0.0, WALL + datetime.timedelta(days=900))
    assert write is not None
    assert two.step({"spec": write.spec}, 0.0, WALL - datetime.timedelta(days=900)) is None


def document(server: dict) -> dict | None:
    return {"metadata": {"resourceVersion": str(server["version"])}, "spec": server["spec"]} if server["spec"] else None


@pytest.mark.parametrize("seed", range(40))
def test_never_two_at_once(seed: int) -> None:
    rng = random.Random(seed)
    names = ["a", "b", "c"]
    replicas = {name: Election(name) for name in names}
    drift = {name: rng.uniform(0, 1000) for name in names}  # monotonic clocks begin anywhere
    server: dict = {"version": 0, "spec": None}
    now, led = 0.0, set()
    for _ in range(600):
        now += rng.uniform(0, 3)
        name = rng.choice(names)
        one, local = replicas[name], now + drift[name]
        read = dict(server)
        write = one.step(document(read), local, WALL)
        if rng.random() < 0.1:
            now += rng.uniform(0, 30)  # stopped between reading and writing
        if write is not None and rng.random() < 0.9:
            asked = now + drift[name]
            done = server["version"] == read["version"]
            if done:
                server = {"version": server["version"] + 1, "spec": write.spec}
            one.written(done and rng.random() < 0.9, asked)  # an answer may be lost
        at_work = [each for each in names if replicas[each].leading(now + drift[each])]
        assert len(at_work) <= 1, f"seed {seed}: {at_work} at {now}"
        led |= set(at_work)
    assert len(led) > 1, "an idle run proves nothing"
