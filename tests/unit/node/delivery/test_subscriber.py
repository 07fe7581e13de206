from __future__ import annotations

from node.delivery.subscriber import Subscriber, Subscription


def test_receipt_is_a_copy():
    asked = Subscription("shop", "web", "web-1", "i", agent="a/1", mode="init")
    subscriber = Subscriber(7, asked, {}, 1234, stale=False)
    subscriber.placed["shop/db"] = 3
    receipt = subscriber.receipt("safe-0")
    subscriber.placed["shop/db"] = 4
    assert dict(receipt.placed) == {"shop/db": 3}
    assert (receipt.pod, receipt.since_ms, receipt.mode, receipt.agent) == ("web-1", 1234, "init", "a/1")


def test_one_process_has_one_key():
    one, again, other = (
        Subscriber(number, Subscription("shop", "web", "web-1", instance), {}, 0, stale=False)
        for number, instance in enumerate("iij")
    )
    assert one.key == again.key != other.key


def test_slots_so_that_ten_thousand_are_cheap():
    subscriber = Subscriber(7, Subscription("shop", "web", "web-1", "i"), {}, 0, stale=False)
    assert not hasattr(subscriber, "__dict__")
