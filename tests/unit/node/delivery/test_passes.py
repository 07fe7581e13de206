"""A pass over one subscriber: never older, never what is not granted now, no more than the queue holds."""

from __future__ import annotations

from sidecar.wire import names


def test_a_version_ahead_of_this_node_is_never_gone_below(world):
    world.source.put("shop/db", b"1", grants=("shop/web",))
    number = world.join(have={"shop/db": 5})
    assert world.said(world.take(number)) == ["FULL"]
    world.source.put("shop/db", b"2")
    assert world.said(world.take(number)) == []
    assert world.hub.counters["ahead"] == 2


def test_a_slow_reader_is_not_buffered_for_and_catches_up_from_the_store(make_world):
    world = make_world(queue_limit=3000)
    for i in range(10):
        world.source.put(f"shop/s{i}", b"x" * 1000, grants=("*/*",))
    slow, quick = world.join(), world.join("q/q")
    world.slow.add(slow)
    assert len(world.said(world.take(quick))) == 11
    assert world.said(world.take(slow)) == [("shop/s0", 1), ("shop/s1", 1)]
    for round_ in range(50):
        world.source.put("shop/s0", b"y" * 1000)
        world.source.put("shop/s5", b"z" * 1000)
        world.source.put("shop/s9", grants=() if round_ % 2 == 0 else ("*/*",))
    world.run()
    assert world.inbox[slow] == [], "nothing more while it does not read"
    seen = []
    for _ in range(20):
        world.drain(slow)
        seen += world.said(world.inbox[slow])
        world.inbox[slow].clear()
    assert seen.index("FULL") < seen.index(("shop/s0", 51)) < len(seen) - 1, "the pass ends before the next begins"
    assert [entry for entry in seen if entry[0] == "shop/s5"] == [("shop/s5", 51)], "versions between were skipped"
    assert seen[-1] == "SYNC" and seen.count("FULL") == 1


def test_revoked_while_the_reader_was_stuck_is_never_sent(make_world):
    world = make_world(queue_limit=1500)
    for i in range(5):
        world.source.put(f"shop/s{i}", b"x" * 1000, grants=("*/*",))
    slow = world.join()
    world.slow.add(slow)
    world.run()
    for i in range(1, 5):
        world.source.put(f"shop/s{i}", grants=())
    for _ in range(5):
        world.drain(slow)
    assert world.said(world.inbox[slow]) == [("shop/s0", 1), "FULL"]


def test_a_frame_larger_than_the_queue_is_sent_alone(make_world):
    world = make_world(queue_limit=100)
    world.source.put("shop/big", b"x" * 100_000, grants=("*/*",))
    world.source.put("shop/too", b"x" * 100_000, grants=("*/*",))
    slow = world.join()
    world.slow.add(slow)
    assert world.said(world.take(slow)) == [("shop/big", 1)]
    world.drain(slow)
    assert world.said(world.take(slow)) == [("shop/too", 1), "FULL"]


def test_a_stuck_reader_gets_no_queue_of_small_frames_either(make_world):
    world = make_world(queue_limit=2000)
    world.source.put("shop/a", b"1", grants=("*/*",))
    number = world.join(want=["shop/a"])
    world.slow.add(number)
    for round_ in range(500):
        world.source.put("shop/a", grants=() if round_ % 2 else ("*/*",))
        world.run()
    assert sum(map(len, world.frames[number])) < 2500
    world.drain(number)
    assert world.said(world.inbox[number])[-1] == "SYNC"


def test_words_without_values_do_not_pile_up_for_a_stuck_reader(make_world):
    world = make_world(queue_limit=2000)
    number = world.join(want=["shop/a"])
    world.slow.add(number)
    for _ in range(200):
        world.source.put("shop/a", b"1")
        world.run()
        world.source.purge("shop/a")
        world.run()
    assert sum(map(len, world.frames[number])) < 2500
    world.slow.clear()
    world.drain(number)
    assert world.said(world.inbox[number])[-1] == "SYNC"


def test_sealed_is_said_again_after_it_was_taken_away_and_given_back(world):
    world.source.put("shop/b", b"1", grants=("*/*",))
    number = world.join()
    world.take(number)
    world.opener.broken.add("shop/b")
    world.source.put("shop/b", b"2")
    world.take(number)
    world.source.put("shop/b", grants=())
    assert world.said(world.take(number)) == [("Gone", "shop/b", "not_granted"), "SYNC"]
    world.source.put("shop/b", grants=("*/*",))
    assert world.said(world.take(number)) == [("Denied", "shop/b", "sealed"), "SYNC"]


def test_more_secrets_than_a_sidecar_may_hold(world):
    for i in range(names.MAX_SECRETS + 5):
        world.source.put(f"shop/s{i:05}", b"", grants=("shop/web",))
    number = world.join()
    messages = world.said(world.take(number))
    assert len(messages) == names.MAX_SECRETS + 2
    assert messages[-2:] == [("Denied", f"shop/s{names.MAX_SECRETS:05}", "too_large"), "FULL"]
    world.source.put("shop/s00000", deleted=True)
    assert world.said(world.take(number)) == [
        ("Gone", "shop/s00000", "deleted"),
        "SYNC",
        (f"shop/s{names.MAX_SECRETS:05}", 1),
        ("Denied", f"shop/s{names.MAX_SECRETS + 1:05}", "too_large"),
        "FULL",
    ]


def test_a_store_ahead_of_its_report_is_neither_leaked_nor_lost(world):
    world.source.put("shop/a", b"1", grants=("shop/web",))
    web, worker = world.join("shop/web"), world.join("shop/worker")
    world.run()
    world.source.put("shop/a", grants=("shop/worker",))
    late = list(world.source.changes)
    world.source.changes.clear()  # applied, but not reported yet
    resumed = world.join("shop/web", have={"shop/a": 1})
    world.run()
    assert world.said(world.inbox[resumed]) == [("Gone", "shop/a", "not_granted"), "FULL"]
    world.hub.changed(late)
    world.run()
    assert world.said(world.inbox[web])[-2:] == [("Gone", "shop/a", "not_granted"), "SYNC"]
    assert world.said(world.inbox[worker])[-2:] == [("shop/a", 1), "SYNC"]


def test_granted_and_revoked_between_two_reports_is_taken_away(world):
    world.source.put("shop/a", b"1", grants=("shop/worker",))
    world.run()
    number = world.join(have={"shop/a": 1})
    world.source.put("shop/a", grants=("shop/web",))  # applied, but not reported before it is looked at
    while world.hub.busy:
        world._do(world.hub.work(world.wall_ms))
    assert world.said(world.inbox[number]) == ["FULL"]
    world.source.put("shop/a", grants=())
    assert world.said(world.take(number))[-2:] == [("Gone", "shop/a", "not_granted"), "SYNC"]


def test_what_it_has_but_does_not_want_any_more_is_gone(world):
    world.source.put("shop/a", b"1", grants=("shop/web",))
    world.source.put("shop/b", b"1", grants=("shop/web",))
    number = world.join(want=["shop/a"], have={"shop/b": 1, "shop/a": 1})
    assert world.said(world.take(number)) == [("Gone", "shop/b", "not_found"), "FULL"]


def test_an_expired_one_is_not_sent_even_before_the_tick(world):
    world.source.put("shop/db", b"1", grants=("shop/web",), expires_ms=world.wall_ms + 10)
    world.run()
    world.wall_ms += 10
    assert world.said(world.take(world.join())) == ["FULL"]
