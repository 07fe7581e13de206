"""Made-up acknowledgements: a version that counts wrongly is noticed, an open write is allowed either way."""

from __future__ import annotations

import pytest

from statefulset.chaos.history import Ack, miscounted, misplaced


def ack(number: int, at: float, secret: str = "demo/set", version: int = 0) -> Ack:
    return Ack(secret, number, version or number, at - 0.01, at)


@pytest.mark.parametrize(
    ("acks", "wrong"),
    [
        ([ack(1, 1.0), ack(2, 2.0)], 0),
        ([ack(1, 1.0, version=1), ack(3, 2.0, version=2)], 0),  # the open second one did not happen
        ([ack(1, 1.0, version=1), ack(3, 2.0, version=3)], 0),  # or it did
        ([ack(1, 1.0, version=2)], 1),  # applied twice
        ([ack(1, 1.0), ack(2, 2.0, version=1)], 1),  # acknowledged and not applied
    ],
)
def test_versions_count_the_writes(acks: list[Ack], wrong: int) -> None:
    assert len(miscounted(acks)) == wrong


@pytest.mark.parametrize(
    ("tried", "final", "wrong"),
    [
        (2, 2, ""),
        (3, 2, ""),  # the open third did not happen
        (3, 3, ""),  # or it did
        (2, 3, "after 2 acknowledged of 2"),  # one was applied twice
        (2, 1, "version 2 was acknowledged, the store has 1"),
        (2, None, "the store has nothing"),
    ],
)
def test_the_store_at_the_end(tried: int, final: int | None, wrong: str) -> None:
    found = misplaced([ack(1, 1.0), ack(2, 2.0)], {"demo/set": tried}, {} if final is None else {"demo/set": final})
    assert (wrong in found[0]) if wrong else found == []
