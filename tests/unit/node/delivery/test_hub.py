from __future__ import annotations

import pytest

from node.delivery import hub as hub_module
from node.delivery.receipts import KEEP_MS
from sidecar.wire import messages as m


def test_a_new_sidecar_gets_exactly_what_is_granted(world):
    world.source.put("shop/db", b"1", grants=("shop/web",))
    world.source.put("shop/api", b"2", grants=("shop/*", "*/*"))
    world.source.put("shop/other", b"3", grants=("shop/worker",))
    world.source.put("shop/none", b"4")
    number = world.join()
    messages = world.take(number)
    assert world.said(messages) == [("shop/api", 1), ("shop/db", 1), "FULL"]
    assert messages[1].fields == {"value": b"1"}
    assert messages[-1].index == 4


def test_nothing_granted_is_a_full_sync_of_nothing(world):
    world.source.put("shop/db", b"1")
    assert world.said(world.take(world.join())) == ["FULL"]


def test_before_any_change_was_reported_it_is_found_after_a_rebuild(world):
    world.source.put("shop/db", b"1", grants=("*/*",))
    world.source.changes.clear()
    number = world.join()
    assert world.said(world.take(number)) == ["FULL"]
    world.rebuild()
    assert world.said(world.take(number)) == [("shop/db", 1), "SYNC"]


def test_rebuild_pages_through_everything_and_drops_what_is_gone(world):
    for i in range(1500):
        world.source.put(f"shop/s{i:05}", b"", grants=("shop/web",))
    world.source.changes.clear()
    world.rebuild()
    number = world.join(want=["shop/s00000", "shop/s01499"])
    other = world.join(have={"shop/s00007": 1})
    assert world.said(world.take(number)) == [("shop/s00000", 1), ("shop/s01499", 1), "FULL"]
    assert world.said(world.take(other))[-2:] == [("shop/s01499", 1), "FULL"]
    world.source.purge("shop/s00007")
    world.source.changes.clear()
    world.rebuild()
    assert world.said(world.take(other)) == [("Gone", "shop/s00007", "not_found"), "FULL"]


def test_resume_sends_only_what_is_newer_and_says_what_is_gone(world):
    for name in ("same", "newer", "revoked", "deleted", "expired", "early"):
        world.source.put(f"shop/{name}", b"1", grants=("shop/web",))
    world.source.put("shop/newer", b"2")
    world.source.put("shop/revoked", grants=())
    world.source.put("shop/deleted", deleted=True)
    world.source.put("shop/expired", expires_ms=world.wall_ms)
    world.source.put("shop/early", not_before_ms=world.wall_ms + 1)
    have = {f"shop/{name}": 1 for name in ("same", "newer", "revoked", "deleted", "expired", "early", "purged")}
    messages = world.said(world.take(world.join(have=have)))
    assert messages[-1] == "FULL" and set(messages[:-1]) == {
        ("shop/newer", 2),
        ("Gone", "shop/revoked", "not_granted"),
        ("Gone", "shop/deleted", "deleted"),
        ("Gone", "shop/expired", "expired"),
        ("Gone", "shop/early", "not_yet_valid"),
        ("Gone", "shop/purged", "not_found"),
    }


def test_want_narrows_and_every_wanted_one_is_answered(world):
    world.source.put("shop/a", b"1", grants=("shop/web",))
    world.source.put("shop/b", b"1", grants=("shop/web",))
    world.source.put("shop/c", b"1")
    world.source.put("shop/d", b"1", grants=("shop/web",), deleted=True)
    want = ["shop/a", "shop/c", "shop/d", "shop/e"]
    number = world.join(want=want)
    assert world.said(world.take(number)) == [
        ("shop/a", 1),
        ("Denied", "shop/c", "not_granted"),
        ("Denied", "shop/d", "deleted"),
        ("Denied", "shop/e", "not_found"),
        "FULL",
    ]
    assert world.withheld == [
        (number, "shop/c", "not_granted"),
        (number, "shop/d", "deleted"),
        (number, "shop/e", "not_found"),
    ]
    world.source.put("shop/b", b"2")
    assert world.said(world.take(number)) == []


def test_a_wanted_one_that_appears_later_is_delivered_and_the_reason_kept_up_to_date(world):
    number = world.join(want=["shop/a"])
    assert world.said(world.take(number)) == [("Denied", "shop/a", "not_found"), "FULL"]
    world.source.put("shop/a", b"1")
    assert world.said(world.take(number)) == [("Denied", "shop/a", "not_granted"), "SYNC"]
    world.source.put("shop/a", b"2")
    assert world.said(world.take(number)) == []
    world.source.put("shop/a", grants=("shop/web",))
    assert world.said(world.take(number)) == [("shop/a", 2), "SYNC"]
    world.source.put("shop/a", grants=())
    assert world.said(world.take(number)) == [("Gone", "shop/a", "not_granted"), "SYNC"]
    assert world.withheld[-1] == (number, "shop/a", "not_granted")


def test_changes_reach_those_concerned_only(world):
    world.source.put("shop/db", b"1", grants=("shop/web",))
    web, worker = world.join("shop/web"), world.join("shop/worker")
    world.take(web), world.take(worker)
    world.source.put("shop/db", b"2")
    assert world.said(world.take(web)) == [("shop/db", 2), "SYNC"] and world.said(world.take(worker)) == []
    world.source.put("shop/db", grants=("shop/worker",))
    assert world.said(world.take(web)) == [("Gone", "shop/db", "not_granted"), "SYNC"]
    assert world.said(world.take(worker)) == [("shop/db", 2), "SYNC"]
    world.source.put("shop/db", deleted=True)
    assert world.said(world.take(worker)) == [("Gone", "shop/db", "deleted"), "SYNC"]
    world.source.put("shop/db", deleted=False)
    assert world.said(world.take(worker)) == [("shop/db", 2), "SYNC"]
    world.source.purge("shop/db")
    assert world.said(world.take(worker)) == [("Gone", "shop/db", "not_found"), "SYNC"]
    assert world.said(world.take(web)) == []


def test_several_changes_before_its_turn_are_one_sync_of_the_last_state(world):
    number = world.join()
    world.take(number)
    world.source.put("shop/a", b"1", grants=("shop/web",))
    world.source.put("shop/b", b"1", grants=("shop/web",))
    world.source.put("shop/a", b"2")
    world.source.put("shop/c", b"1", grants=("shop/web",))
    world.source.put("shop/c", grants=())
    messages = world.take(number)
    assert world.said(messages) == [("shop/a", 2), ("shop/b", 1), "SYNC"] and messages[-1].index == 5


def test_one_encoding_for_all_subscribers(world):
    world.source.put("shop/db", b"x" * 10_000, grants=("*/*",))
    numbers = [world.join(f"ns{i}/web") for i in range(20)]
    world.run()
    assert world.opener.opened == ["shop/db"]
    assert len({id(world.frames[number][0]) for number in numbers}) == 1
    world.source.put("shop/db", b"y")
    world.run()
    assert world.opener.opened == ["shop/db"] * 2
    assert len({id(world.frames[number][2]) for number in numbers}) == 1
    assert len({id(world.frames[number][3]) for number in numbers}) == 1  # the SYNC too


def test_windows_open_and_close_on_open_streams(world):
    now = world.wall_ms
    world.source.put("shop/db", b"1", grants=("shop/web",), not_before_ms=now + 500, expires_ms=now + 1500)
    number, wanting = world.join(), world.join(want=["shop/db"])
    assert world.said(world.take(number)) == ["FULL"]
    assert world.said(world.take(wanting)) == [("Denied", "shop/db", "not_yet_valid"), "FULL"]
    world.later(499)
    assert world.said(world.take(number)) == []
    world.later(1)
    assert world.said(world.take(number)) == world.said(world.take(wanting)) == [("shop/db", 1), "SYNC"]
    world.later(1000)
    assert world.said(world.take(number)) == world.said(world.take(wanting)) == [("Gone", "shop/db", "expired"), "SYNC"]
    world.source.put("shop/db", expires_ms=None)
    assert world.said(world.take(number)) == [("shop/db", 1), "SYNC"]


def test_a_wall_clock_set_back_makes_valid_again_what_is_valid_again(world):
    world.source.put("shop/db", b"1", grants=("shop/web",), expires_ms=world.wall_ms + 10_000)
    number = world.join()
    world.take(number)
    world.later(20_000)
    assert world.said(world.take(number)) == [("Gone", "shop/db", "expired"), "SYNC"]
    world.later(-15_000)
    assert world.said(world.take(number)) == [("shop/db", 1), "SYNC"]


def test_one_value_that_cannot_be_opened_holds_up_nobody(world):
    for name in ("a", "b", "c"):
        world.source.put(f"shop/{name}", b"secret", grants=("*/*",))
    world.opener.broken.add("shop/b")
    first, second = world.join("x/y"), world.join("x/z", want=["shop/b"])
    messages = world.take(first)
    assert world.said(messages) == [("shop/a", 1), ("Denied", "shop/b", "sealed"), ("shop/c", 1), "FULL"]
    assert "secret" not in messages[1].message
    assert world.said(world.take(second)) == [("Denied", "shop/b", "sealed"), "FULL"]
    assert [(event.name, event.version, event.error) for event in world.unopened] == [("shop/b", 1, "ValueError")]
    assert world.hub.sealed() == ("shop/b",) and world.opener.opened.count("shop/b") == 1


def test_a_value_that_can_be_opened_again_is_delivered_without_anybody_asking(world):
    world.source.put("shop/b", b"1", grants=("*/*",))
    world.opener.broken.add("shop/b")
    number = world.join()
    world.take(number)
    for _ in range(10):
        world.later(1000)
        assert world.said(world.take(number)) == []
    world.opener.broken.clear()
    world.later(5000)
    assert world.said(world.take(number)) == [("shop/b", 1), "SYNC"]
    assert world.hub.sealed() == () and len(world.unopened) == 1


def test_a_sidecar_keeps_the_last_good_version_while_the_next_is_sealed(world):
    world.source.put("shop/b", b"1", grants=("*/*",))
    number = world.join()
    world.take(number)
    world.opener.broken.add("shop/b")
    world.source.put("shop/b", b"2")
    assert world.said(world.take(number)) == [("Denied", "shop/b", "sealed"), "SYNC"]
    world.source.put("shop/b", grants=())
    assert world.said(world.take(number)) == [("Gone", "shop/b", "not_granted"), "SYNC"]


def test_work_is_done_in_slices(world):
    for i in range(300):
        world.source.put(f"shop/s{i:03}", b"v", grants=("shop/web",))
    numbers = [world.join() for _ in range(3)]
    assert world.run(budget=50) > 40
    for number in numbers:
        assert world.said(world.inbox[number]) == [*((f"shop/s{i:03}", 1) for i in range(300)), "FULL"]


def test_a_full_set_holds_what_was_noted_before_the_sidecar_came(world):
    for i in range(50):
        world.source.put(f"shop/s{i:02}", b"v", grants=("shop/web",))
    world.hub.collect()
    world._do(world.hub.work(world.wall_ms, budget=5))  # in the middle of a round
    world.source.put("shop/late", b"v", grants=("shop/web",))
    number = world.join()
    world.run(budget=5)
    messages = world.said(world.inbox[number])
    assert len(messages) == 52 and ("shop/late", 1) in messages and messages[-1] == "FULL"


def test_a_change_for_many_takes_many_slices_and_none_is_long(world):
    world.source.put("shop/db", b"1", grants=("*/*",))
    for i in range(2000):
        world.join(f"ns{i}/sa")
    world.run()
    world.source.put("shop/db", b"2")
    world.hub.collect()
    most = 0
    while world.hub.busy:
        actions = world.hub.work(world.wall_ms)
        most = max(most, len(actions))
        world._do(actions)
    assert most < 100
    assert all(world.said(messages)[-2:] == [("shop/db", 2), "SYNC"] for messages in world.inbox.values())


def test_more_changes_than_are_noted_become_a_look_at_everything(make_world):
    world = make_world(queue_limit=10)
    world.source.put("shop/first", b"1", grants=("shop/web",))
    number = world.join()
    world.slow.add(number)
    world.take(number)
    for i in range(hub_module.MAX_PENDING + 50):
        world.source.put(f"shop/s{i:04}", b"", grants=("shop/web",))
    world.run()
    world.slow.clear()
    world.drain(number)
    assert world.said(world.inbox[number])[-1] == "FULL" and world.hub.counters["passes_full"] == 2


def test_stale_is_told_once_to_everybody(world):
    number = world.join()
    assert world.take(number)[-1].stale is False
    world.hub.set_stale(True)
    assert world.said(world.take(number)) == [("Stale", True)]
    world.hub.set_stale(True)
    assert world.take(number) == []
    world.source.put("shop/a", b"1", grants=("*/*",))
    assert world.take(number)[-1].stale is True
    late = world.join()
    messages = world.take(late)
    assert world.said(messages) == [("shop/a", 1), "FULL"] and messages[-1].stale is True
    world.hub.set_stale(False)
    world.hub.set_stale(True)
    assert world.take(number) == []


def test_the_same_process_dialling_again_takes_its_own_place(world):
    first = world.join(pod="p", instance="i")
    other = world.join(pod="p", instance="j")
    second = world.join(pod="p", instance="i")
    assert world.closed == [first] and len(world.hub) == 2
    world.hub.unsubscribe(first, world.wall_ms)
    assert len(world.hub) == 2
    third = world.join(pod="p", instance="i")
    assert world.closed == [first, second] and {other, third} == set(world.hub._subscribers)


def test_an_unsubscribed_one_is_sent_nothing_and_leaves_nothing_behind(world):
    world.source.put("shop/a", b"1", grants=("*/*",))
    one, two = world.join(), world.join(want=["shop/a", "shop/b"])
    world.run()
    before = len(world.frames[one]), len(world.frames[two])
    world.source.put("shop/a", b"2")
    world.hub.collect()
    for number in (one, two, one):
        world.hub.unsubscribe(number, world.wall_ms)
    world.run()
    assert (len(world.frames[one]), len(world.frames[two])) == before
    assert len(world.hub) == 0 and len(world.hub._by_grant) == 0 and len(world.hub._by_want) == 0
    assert not world.hub._by_key


def test_receipts_say_who_has_what(world):
    world.source.put("shop/a", b"1", grants=("shop/web",))
    number = world.join(pod="web-1", agent="safe-sidecar/0.1")
    world.run()
    world.hub.receipt(number, m.Receipt(1, {"shop/a": 1, "shop/never-given": 9}, "", 5), world.wall_ms)
    (receipt,) = world.hub.receipts()
    assert receipt.report == m.Report() and receipt.at_ms == world.wall_ms
    assert (receipt.pod, receipt.namespace, receipt.serviceaccount, receipt.node) == ("web-1", "shop", "web", "safe-0")
    assert (receipt.placed, receipt.index, receipt.error, receipt.connected) == ({"shop/a": 1}, 1, "", True)
    assert receipt.since_ms == world.wall_ms and not receipt.stale
    world.hub.receipt(number, m.Receipt(1, {"shop/a": 1}, "no_space", 6), world.wall_ms)
    assert world.hub.receipts()[0].error == "no_space"
    world.hub.receipt(999, m.Receipt(1, {}, "", 5), world.wall_ms)


def test_a_pod_that_moved_here_counts_with_what_its_hello_said(world):
    world.source.put("shop/a", b"1", grants=("shop/web",))
    world.join(have={"shop/a": 1}, want=("shop/a",))
    (receipt,) = world.hub.receipts()
    assert (receipt.placed, receipt.at_ms, receipt.report) == ({"shop/a": 1}, 0, None)
    assert receipt.want == {"shop/a"}


def test_receipts_carry_the_report_of_the_pod(world):
    number = world.join()
    told = m.Report("app.env: no field `user`", "HTTP 500", 4, 1, 2500)
    world.later(7)
    world.hub.receipt(number, m.Receipt(1, {}, "", 5, told), world.wall_ms)
    assert (world.hub.receipts()[0].report, world.hub.receipts()[0].at_ms) == (told, world.wall_ms)
    world.hub.receipt(number, m.Receipt(1, {}, "", 5, None), world.wall_ms)
    assert world.hub.receipts()[0].report is None, "a sidecar of version 1 does not say, which is not fine"


def test_receipts_of_pods_that_left_age_out(world):
    number = world.join(pod="web-1")
    world.hub.unsubscribe(number, world.wall_ms)
    assert [(receipt.pod, receipt.connected) for receipt in world.hub.receipts()] == [("web-1", False)]
    world.later(KEEP_MS)
    assert len(world.hub.receipts()) == 1
    world.later(1)
    assert world.hub.receipts() == []


def test_a_pod_that_is_back_is_listed_once(world):
    world.hub.unsubscribe(world.join(pod="web-1", instance="a"), world.wall_ms)
    world.join(pod="web-1", instance="b")
    assert [(receipt.pod, receipt.connected) for receipt in world.hub.receipts()] == [("web-1", True)]


def test_the_index_named_is_never_below_the_log_index_applied(world):
    world.source.put("shop/a", b"1", grants=("*/*",))
    number = world.join()
    world.hub.collect()
    messages = []
    while world.hub.busy:
        world._do(world.hub.work(world.wall_ms, applied=77))
    messages = world.inbox[number]
    assert messages[-1].index == 77 and world.hub.index == 77
    world.source.put("shop/a", b"2")
    assert world.take(number)[-1].index == 77  # an index never goes back on a stream


def test_many_grants_are_judged_like_few(world):
    crowd = tuple(f"ns{i}/sa" for i in range(4000))
    world.source.put("shop/a", b"1", grants=crowd)
    inside, outside = world.join("ns3999/sa"), world.join("ns4000/sa", want=["shop/a"])
    assert world.said(world.take(inside)) == [("shop/a", 1), "FULL"]
    assert world.said(world.take(outside)) == [("Denied", "shop/a", "not_granted"), "FULL"]
    world.source.put("shop/a", grants=crowd[:-1])
    assert world.said(world.take(inside)) == [("Gone", "shop/a", "not_granted"), "SYNC"]


def test_no_value_in_any_repr(world):
    world.source.put("shop/a", b"hunter2", grants=("*/*",))
    number = world.join()
    world.run()
    assert "hunter2" not in repr(world.hub) + repr(world.hub.receipts()) + repr(world.hub._subscribers[number])


def test_unknown_numbers_are_ignored(world):
    world.hub.drained(5, 0)
    world.hub.unsubscribe(5, 0)
    assert not world.hub.busy


@pytest.mark.parametrize("budget", [1, 2, 7, 512])
def test_any_budget_makes_progress(world, budget):
    for i in range(20):
        world.source.put(f"shop/s{i:02}", b"v", grants=("*/*",))
    number = world.join()
    world.run(budget=budget)
    assert world.said(world.inbox[number]) == [*((f"shop/s{i:02}", 1) for i in range(20)), "FULL"]
