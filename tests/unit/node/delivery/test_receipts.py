from __future__ import annotations

import pytest

from node.delivery import receipts
from node.delivery.receipts import KEEP_MS, Departed, Receipt


def of(pod: str) -> Receipt:
    return Receipt(pod, "shop", "web", "safe-0", 5, 7, {"shop/db": 3}, "", "run", "agent/1")


def test_departed_pods_are_remembered_for_a_while():
    departed = Departed()
    departed.put(of("a"), 1000)
    departed.put(of("b"), 2000)
    (first, _) = departed.all()
    assert (first.pod, first.since_ms, first.connected, first.stale, first.placed) == (
        "a", 1000, False, True, {"shop/db": 3},
    )  # fmt: skip
    departed.expire(1000 + KEEP_MS)
    assert len(departed) == 2
    departed.expire(1001 + KEEP_MS)
    assert [receipt.pod for receipt in departed.all()] == ["b"]


def test_back_again_or_gone_again():
    departed = Departed()
    departed.put(of("a"), 1)
    departed.put(of("b"), 2)
    departed.put(of("a"), 3)
    assert [(receipt.pod, receipt.since_ms) for receipt in departed.all()] == [("b", 2), ("a", 3)]
    departed.forget("shop", "web", "b")
    departed.forget("shop", "web", "never")
    assert [receipt.pod for receipt in departed.all()] == ["a"]


def test_a_clock_set_back_keeps_nothing_for_ever():
    departed = Departed()
    departed.put(of("a"), 10_000_000)
    departed.expire(0)
    assert len(departed) == 0


def test_count_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receipts, "MAX_DEPARTED", 3)
    departed = Departed()
    for number in range(10):
        departed.put(of(f"p{number}"), number)
    assert [receipt.pod for receipt in departed.all()] == ["p7", "p8", "p9"]
