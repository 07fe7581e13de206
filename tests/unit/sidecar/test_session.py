"""The session: one event at a time, and the actions it leads to."""

from __future__ import annotations

import pytest

from sidecar import inventory, placing
from sidecar import session as s
from sidecar.actions import Close, Dial, Exit, Log, LookUp, Place, ReadToken, Send, Wait
from sidecar.credential import CHECK_MIN
from sidecar.dialer import SPREAD, Route, order
from sidecar.inventory import Resume
from sidecar.session import Purpose, Session
from sidecar.settings import Node
from sidecar.wire import codes
from sidecar.wire import messages as m

NODES = tuple(Node(f"safe-{n}", 8400) for n in range(3))
ROUTES = [Route(node, f"10.0.0.{n}") for n, node in enumerate(NODES)]
ROUTE = ROUTES[1]
CHANCE = 0.5


def of(kind, actions):
    return [action for action in actions if isinstance(action, kind)]


def sent(kind, actions):
    return [action.message for action in of(Send, actions) if isinstance(action.message, kind)]


def made(nodes=NODES, resume=None, **purpose):
    return Session(nodes, Purpose("web-0", "i", "agent", **purpose), resume or Resume())


def live(session, now=0.0, index=10, heartbeat_ms=2000, stale=False, remaining=None):
    session.start(now, CHANCE)
    session.connected(now, ROUTE, "token", remaining)
    session.received(now, CHANCE, m.Welcome(1, "safe-1", index, heartbeat_ms, stale))
    return session


def secret(name="a/b", version=1, index=5):
    return m.Secret(name, version, index, {"value": b"canary"})


def deliver(session, *messages, now=1.0):
    actions = []
    for message in messages:
        for action in session.received(now, CHANCE, message):
            actions.append(action)
            if isinstance(action, Place):
                actions += session.placed(now, 1000, action)
    return actions


def sync(index=10, full=True, stale=False):
    return m.Sync(index, stale, full)


def test_it_dials_at_once_and_says_hello_with_what_it_has():
    session = made(resume=Resume({"a/b": 3}, {"a/b": 3}, 7, True), want=("a/b",))
    assert of(Dial, session.start(0, CHANCE))
    [hello] = sent(m.Hello, session.connected(0, ROUTE, "token", None))
    assert (hello.have, hello.index, hello.want, hello.token) == ({"a/b": 3}, 7, ("a/b",), "token")


def test_nothing_is_applied_before_its_sync():
    session = live(made())
    assert not of(Place, deliver(session, secret("a/b"), secret("a/c")))
    [place] = of(Place, deliver(session, sync()))
    assert set(place.changes) == {"a/b", "a/c"} and place.complete and place.index == 10
    assert session.held == {"a/b": 1, "a/c": 1}


def test_a_receipt_names_all_that_is_in_place():
    session = live(made(resume=Resume({"a/z": 9}, {}, 1)))
    [receipt] = sent(m.Receipt, deliver(session, secret(), sync(full=False)))
    assert receipt == m.Receipt(10, {"a/z": 9, "a/b": 1}, "", 1000)


def test_a_batch_dies_with_its_stream():
    session = live(made())
    deliver(session, secret())
    session.lost(5, CHANCE, "gone")
    session.connected(5, ROUTE, "token", None)
    session.received(5, CHANCE, m.Welcome(1, "n", 10, 2000, False))
    [place] = of(Place, deliver(session, sync(), now=5))
    assert place.changes == {}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_what_is_not_newer_is_dropped(version):
    session = live(made(resume=Resume({"a/b": 3}, {}, 1)))
    [place] = of(Place, deliver(session, secret(version=version), sync()))
    assert place.changes == {} and session.held == {"a/b": 3}


def test_of_two_versions_in_one_batch_the_newer_counts():
    session = live(made())
    deliver(session, secret(version=2), secret(version=1), sync())
    assert session.held == {"a/b": 2}


def test_a_removal_takes_an_explicit_word():
    session = live(made(resume=Resume({"a/b": 3, "a/c": 1}, {}, 1)))
    deliver(session, sync())
    assert session.held == {"a/b": 3, "a/c": 1}, "a full set without them removes nothing that HELLO named"
    deliver(session, m.Gone("a/b", codes.DELETED), sync(full=False))
    assert session.held == {"a/c": 1}


def test_a_removal_before_its_sync_is_no_removal():
    session = live(made(resume=Resume({"a/b": 3}, {}, 1)))
    deliver(session, m.Gone("a/b", codes.DELETED))
    session.lost(5, CHANCE, "gone")
    assert session.held == {"a/b": 3}


def test_granted_again_the_same_version_returns_and_an_older_one_never():
    session = live(made())
    deliver(session, secret(version=3), sync())
    deliver(session, m.Gone("a/b", codes.NOT_GRANTED), sync())
    deliver(session, secret(version=2), sync())
    assert session.held == {}
    deliver(session, secret(version=3), sync())
    assert session.held == {"a/b": 3}


def test_floors_outlive_the_process():
    session = live(made(resume=Resume({}, {"a/b": 5}, 1)))
    deliver(session, secret(version=4), sync())
    assert session.held == {}


def test_a_full_set_removes_what_is_no_longer_wanted():
    session = live(made(resume=Resume({"a/b": 1, "a/old": 1}, {}, 1), want=("a/b",)))
    deliver(session, sync())
    assert session.held == {"a/b": 1}


def test_secrets_nobody_asked_for_are_ignored():
    session = live(made(want=("a/b",)))
    deliver(session, secret("a/other"), secret(), sync())
    assert session.held == {"a/b": 1}


def test_a_node_that_is_behind_is_left():
    session = made(resume=Resume({"a/b": 3}, {}, 50))
    session.start(0, CHANCE)
    session.connected(0, ROUTE, "token", None)
    actions = session.received(0, CHANCE, m.Welcome(1, "safe-1", 49, 2000, False))
    assert sent(m.Bye, actions) and of(Close, actions) and of(Wait, actions)[0].seconds > 0
    assert session.status(0)["error"] == codes.BEHIND and "recreate the pod" in session.status(0)["trouble"]
    assert session.held == {"a/b": 3}


def test_a_sync_that_goes_back_is_not_taken():
    session = live(made(), index=10)
    deliver(session, secret(), sync(12))
    assert of(Close, session.received(2, CHANCE, sync(11)))
    assert session.index == 12


def best(dial, routes=ROUTES):
    """The address that is tried first."""
    return order(routes, dial.shunned, dial.chance)[0]


def test_after_a_good_stream_another_node_is_dialled_within_the_spread():
    for chance in (0.0, 0.5, 0.999):
        session = live(made())
        actions = session.lost(5, chance, "reset")
        [wait] = of(Wait, actions)
        assert wait.seconds == pytest.approx(SPREAD * chance) and SPREAD <= 0.1
        [dial] = of(Dial, session.woken(5 + wait.seconds, chance))
        assert dial.nodes == NODES and best(dial) != ROUTE


def test_after_a_short_stream_it_backs_off():
    session = live(made())
    actions = session.lost(0.5, CHANCE, "reset")
    assert not of(Dial, actions) and of(Wait, actions)[0].seconds > 0


def test_failed_dials_back_off_longer_and_longer():
    session, now, waits = made(), 0.0, []
    session.start(now, CHANCE)
    for _ in range(10):
        [wait] = of(Wait, session.failed(now, CHANCE, "refused"))
        waits.append(round(wait.seconds, 9))
        now += wait.seconds
        assert of(Dial, session.woken(now, CHANCE))
    assert waits == sorted(waits) and waits[-1] <= 2.0 and waits[0] <= 0.05


def test_the_same_trouble_is_told_once_a_minute():
    session, told, now = made(), 0, 0.0
    session.start(now, CHANCE)
    for _ in range(100):
        told += len(of(Log, session.failed(now, CHANCE, "refused")))
        now += 1.0
        session.woken(now, CHANCE)
    assert told == 2


def test_goaway_moves_and_avoids():
    session = live(made())
    actions = session.received(5, CHANCE, m.Goaway("stopping", 60_000))
    assert of(Close, actions) and of(Wait, actions)[-1].seconds <= SPREAD
    dials = of(Dial, session.woken(5.2, CHANCE))
    for _ in range(6):
        session.failed(6, CHANCE, "x")
        dials += of(Dial, session.woken(60, CHANCE))
    assert len(dials) == 7
    assert all(order(ROUTES, dial.shunned, chance / 8)[-1] == ROUTE for dial in dials for chance in range(8))
    session.failed(70, CHANCE, "x")
    assert not of(Dial, session.woken(80, CHANCE))[0].shunned, "it is forgiven"


def test_refused_tries_the_others_then_waits_and_keeps_everything():
    session = made(resume=Resume({"a/b": 3}, {}, 1))
    [dial] = of(Dial, session.start(0, CHANCE))
    now, dialled = 0.0, []
    for _ in range(3):
        dialled.append(best(dial))
        session.connected(now, dialled[-1], "token", None)
        actions = session.received(now, CHANCE, m.Refused("token_audience", "wrong audience", "", 0))
        assert of(Close, actions) and not of(Exit, actions)
        wait = of(Wait, actions)[-1].seconds
        now += wait
        [dial] = of(Dial, session.woken(now, CHANCE))
    assert set(dialled) == set(ROUTES)
    assert wait >= 10
    assert session.held == {"a/b": 3} and session.status(now)["error"] == "token_audience"


def test_refused_with_a_hint_waits_that_long():
    session = made(nodes=NODES[:1])
    session.start(0, CHANCE)
    for _ in range(3):
        session.connected(0, ROUTE, "token", None)
        actions = session.received(0, CHANCE, m.Refused("unavailable", "starting", "", 4000))
        session.woken(9, CHANCE)
    assert of(Wait, actions)[-1].seconds >= 4.0


def test_a_quiet_node_is_asked_and_then_left():
    session = live(made(), now=0.0, heartbeat_ms=1000)
    assert not sent(m.Ping, session.woken(1.0, CHANCE))
    asked = session.woken(1.15, CHANCE)
    assert sent(m.Ping, asked) and of(LookUp, asked)[0].nodes == NODES, "names are at hand if it has to be left"
    assert not sent(m.Ping, session.woken(1.2, CHANCE)), "once"
    actions = session.woken(1.31, CHANCE)
    assert of(Close, actions) and of(Wait, actions)[-1].seconds <= SPREAD
    assert of(Dial, session.woken(1.42, CHANCE))


def test_any_byte_is_a_sign_of_life():
    session = live(made(), now=0.0, heartbeat_ms=1000)
    session.woken(1.15, CHANCE)
    session.heard(1.3)
    assert not of(Close, session.woken(1.5, CHANCE))


def test_pings_are_answered():
    session = live(made())
    assert sent(m.Pong, session.received(1, CHANCE, m.Ping(7))) == [m.Pong(7)]


def test_a_greeting_has_its_time():
    session = made()
    session.start(0, CHANCE)
    [wait] = of(Wait, session.connected(0, ROUTE, "token", None))
    assert wait.seconds == s.GREETING
    assert of(Close, session.woken(s.GREETING, CHANCE))


def test_the_token_is_renewed_when_it_changed():
    session = live(made(), remaining=100.0, heartbeat_ms=60_000)
    assert not of(ReadToken, session.woken(49, CHANCE))
    assert of(ReadToken, session.woken(51, CHANCE))
    assert not sent(m.Token, session.token(51, "token", 49.0)), "the same"
    unreadable = session.token(52, "", None)
    assert not sent(m.Token, unreadable)
    session.heard(52)
    assert of(ReadToken, session.woken(52 + CHECK_MIN, CHANCE)), (
        "soon again: it may have been caught while it was replaced"
    )
    assert sent(m.Token, session.token(58, "fresh", 3600.0)) == [m.Token("fresh")]


def test_a_full_volume_keeps_the_batch_and_tries_again():
    session = live(made(resume=Resume({"a/b": 1}, {}, 1)), heartbeat_ms=60_000)
    session.received(1, CHANCE, secret(version=2))
    [place] = of(Place, session.received(1, CHANCE, sync()))
    [receipt] = sent(m.Receipt, session.place_failed(1, 1000, place, codes.NO_SPACE))
    assert receipt.error == codes.NO_SPACE and receipt.placed == {"a/b": 1} and receipt.index == 1
    assert session.status(1)["error"] == codes.NO_SPACE
    session.lost(2.5, CHANCE, "gone")
    [place] = of(Place, session.woken(1 + placing.REPLACE, CHANCE))
    assert place.changes["a/b"].version == 2
    session.placed(7, 2000, place)
    assert session.held == {"a/b": 2} and session.status(7)["error"] == ""


def test_a_removal_that_could_not_be_placed_is_not_vouched_for():
    """Else a grant given back in the meantime would not be sent again, and the removal would still be carried out."""
    session = live(made(resume=Resume({"a/b": 1}, {}, 1)))
    session.received(1, CHANCE, m.Gone("a/b", codes.NOT_GRANTED))
    [place] = of(Place, session.received(1, CHANCE, sync()))
    session.place_failed(1, 1000, place, codes.NO_SPACE)
    session.lost(5, CHANCE, "gone")
    [hello] = sent(m.Hello, session.connected(5, ROUTE, "token", None))
    assert hello.have == {}


def test_too_much_at_once_is_refused_and_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(inventory, "MAX_PENDING", 10)
    session = live(made(resume=Resume({"a/z": 1}, {}, 1)))
    session.received(1, CHANCE, secret("a/b"))
    actions = session.received(1, CHANCE, secret("a/c"))
    assert of(Close, actions) and session.status(1)["error"] == codes.TOO_LARGE
    assert session.held == {"a/z": 1}


def test_init_ends_when_the_set_is_in_place():
    session = live(made(mode="init"))
    actions = deliver(session, secret(), sync())
    assert sent(m.Receipt, actions) and sent(m.Bye, actions) and of(Exit, actions)[0].code == 0


def test_init_waits_for_what_is_missing_and_says_why_at_the_end():
    session = live(made(mode="init", want=("a/b", "a/c"), deadline=30.0), heartbeat_ms=60_000)
    actions = deliver(session, secret(), m.Denied("a/c", codes.NOT_GRANTED, "no grant"), sync())
    assert not of(Exit, actions) and "a/c (not_granted)" in of(Log, actions)[-1].text
    [end] = of(Exit, session.woken(30.0, CHANCE))
    assert end.code == 1 and "a/c (not_granted)" in end.message


def test_init_takes_a_late_grant():
    session = live(made(mode="init", want=("a/b",)))
    assert not of(Exit, deliver(session, sync()))
    assert of(Exit, deliver(session, secret(index=11), sync(11, full=False)))[0].code == 0


def test_init_gives_up_when_all_refuse_for_good():
    session = made(mode="init")
    session.start(0, CHANCE)
    ends = []
    for _ in range(3):
        session.connected(0, ROUTE, "token", None)
        ends += of(Exit, session.received(0, CHANCE, m.Refused("token_expired", "expired", "", 0)))
        session.woken(5, CHANCE)
    assert [end.code for end in ends] == [1]


def test_init_without_a_store_is_exit_three():
    session = made(mode="init", deadline=10.0)
    session.start(0, CHANCE)
    session.failed(0, CHANCE, "safe-1: Connection refused")
    [end] = of(Exit, session.woken(10, CHANCE))
    assert end.code == 3 and "Connection refused" in end.message


def test_run_never_ends_by_itself():
    session = made(deadline=10.0)
    session.start(0, CHANCE)
    session.failed(0, CHANCE, "x")
    assert not of(Exit, session.woken(1e9, CHANCE))


def test_stop_says_goodbye_and_leaves_the_files():
    session = live(made())
    deliver(session, secret(), sync())
    actions = session.stop()
    assert sent(m.Bye, actions) and of(Close, actions) and of(Exit, actions)[0].code == 0
    assert session.held == {"a/b": 1}


def test_completeness_waits_for_every_wanted_secret():
    session = live(made(want=("a/b", "a/c")))
    assert of(Place, deliver(session, secret("a/b"), sync()))[0].complete is False
    assert of(Place, deliver(session, secret("a/c", index=10), sync(full=False)))[0].complete is True
    deliver(session, m.Gone("a/c", codes.DELETED), sync())
    assert session.status(1)["complete"] is True, "the first whole set was in place once"
    assert session.status(1)["missing"] == {"a/c": "deleted"}


def test_stale_is_reported_and_ended():
    session = live(made(), stale=True)
    assert session.status(0)["stale"] is True
    session.received(1, CHANCE, m.Stale(False))
    assert session.status(1)["stale"] is False
    session.lost(2, CHANCE, "x")
    assert session.status(2)["stale"] is True, "away from every node"


def test_staleness_is_reported_and_never_acted_on():
    session = live(made(max_staleness=60.0))
    deliver(session, secret(), sync())
    session.lost(2, CHANCE, "x")
    session.failed(2, CHANCE, "refused")
    actions = session.woken(63, CHANCE)
    assert any("60 s" in log.text for log in of(Log, actions)) and session.status(63)["too_stale"] is True
    assert session.held == {"a/b": 1} and not of(Exit, actions)


def test_no_status_or_action_shows_a_value():
    session = live(made())
    seen = repr(deliver(session, secret(), sync())) + repr(session.status(1))
    assert "canary" not in seen and "token'" not in repr(session.connected(1, ROUTE, "token", None))


def test_every_answer_ends_with_when_to_wake():
    session = made()
    for actions in (session.start(0, CHANCE), session.failed(0, CHANCE, "x"), session.woken(1, CHANCE)):
        assert isinstance(actions[-1], Wait)


def test_a_file_that_cannot_be_rendered_is_said_and_tried_again_later():
    session = live(made(), heartbeat_ms=60_000)
    session.received(1, CHANCE, secret())
    [place] = of(Place, session.received(1, CHANCE, sync()))
    [receipt] = sent(m.Receipt, session.place_failed(1, 1000, place, codes.RENDER_FAILED, "x: " + "long " * 1000))
    assert receipt.error == codes.RENDER_FAILED and receipt.report.render.startswith("x: long")
    assert len(receipt.report.render) == m.MAX_TEXT, "what the wire holds"
    assert not of(Place, session.woken(1 + placing.REPLACE, CHANCE))
    [place] = of(Place, session.received(2, CHANCE, sync(11, full=False)))  # a SYNC tries at once
    session.place_failed(2, 2000, place, codes.RENDER_FAILED, "x: no")
    [place] = of(Place, session.woken(2 + placing.RENDER_AGAIN, CHANCE))
    [receipt] = sent(m.Receipt, session.placed(62, 2000, place))
    assert (receipt.error, receipt.report.render) == ("", "") and session.status(62)["render"] == ""


def test_what_was_taken_away_goes_though_the_rest_cannot_be_placed():
    session = live(made(resume=Resume({"a/a": 1, "a/b": 1}, {}, 1)), heartbeat_ms=60_000)
    session.received(1, CHANCE, secret(version=2))
    session.received(1, CHANCE, m.Gone("a/a", codes.EXPIRED))
    [whole] = of(Place, session.received(1, CHANCE, sync()))
    actions = session.place_failed(1, 1000, whole, codes.RENDER_FAILED, "x: no")
    [part] = of(Place, actions)
    assert dict(part.changes) == {"a/a": None} and part.partial and part.index == 1, "no SYNC is in place by it"
    [receipt] = sent(m.Receipt, session.placed(1, 1000, part, "y is removed"))
    assert receipt.placed == {"a/b": 1} and receipt.index == 1 and receipt.error == codes.RENDER_FAILED
    assert receipt.report.render == "x: no; y is removed" == session.status(1)["render"]
    [again] = of(Place, session.woken(1 + placing.RENDER_AGAIN, CHANCE))
    assert again.changes.keys() == {"a/b"} and not again.partial and again.index == 10
    assert not of(Place, session.place_failed(61, 1000, again, codes.RENDER_FAILED, "x: no")), "nothing left to remove"


def test_a_part_that_fails_too_is_tried_again_only_with_the_whole():
    session = live(made(resume=Resume({"a/a": 1}, {}, 1)), heartbeat_ms=60_000)
    session.received(1, CHANCE, m.Gone("a/a", codes.EXPIRED))
    [whole] = of(Place, session.received(1, CHANCE, sync()))
    [part] = of(Place, session.place_failed(1, 1000, whole, codes.NO_SPACE))
    assert not of(Place, session.place_failed(1, 1000, part, codes.NO_SPACE)) and session.held == {"a/a": 1}
    [again] = of(Place, session.woken(1 + placing.REPLACE, CHANCE))
    assert dict(again.changes) == {"a/a": None} and not again.partial


def test_a_rendered_file_that_went_with_its_secret_is_said_once_and_reported_while_it_is_away():
    session = live(made(resume=Resume({"a/a": 1}, {}, 1)), heartbeat_ms=60_000)
    session.received(1, CHANCE, m.Gone("a/a", codes.EXPIRED))
    [place] = of(Place, session.received(1, CHANCE, sync()))
    actions = session.placed(1, 1000, place, "y is removed")
    [receipt] = sent(m.Receipt, actions)
    assert Log("y is removed") in actions and receipt.error == "" and receipt.report.render == "y is removed"
    [place] = of(Place, session.received(2, CHANCE, sync(11, full=False)))
    actions = session.placed(2, 1000, place, "y is removed")
    assert not of(Log, actions) and session.status(2)["render"] == "y is removed"
    [place] = of(Place, session.received(3, CHANCE, sync(12, full=False)))
    assert sent(m.Receipt, session.placed(3, 1000, place))[0].report.render == "" == session.status(3)["render"]


def test_an_init_run_waits_for_a_rendered_file_that_was_taken_away():
    session = live(made(mode="init"))
    [place] = of(Place, [*session.received(1, CHANCE, secret()), *session.received(1, CHANCE, sync())])
    assert not of(Exit, session.placed(1, 1000, place, "y is removed"))
    [end] = of(Exit, session.woken(61, CHANCE))
    assert end.code == 1 and "y is removed" in end.message


def test_what_became_of_telling_the_application_is_in_every_receipt_from_then_on():
    session = live(made())
    [receipt] = sent(m.Receipt, session.notified(1, 1000, "refused", 3, 1))
    assert (receipt.report.notify, receipt.report.notified, receipt.report.notify_failed) == ("refused", 3, 1)
    [receipt] = sent(m.Receipt, deliver(session, secret(), sync()))
    assert receipt.report.notified == 3 and session.status(1)["notify_failed"] == 1
    session.lost(2, CHANCE, "x")
    assert not sent(m.Receipt, session.notified(3, 1000, "", 4, 1)), "nobody to tell"


def test_staleness_counts_from_the_last_touch_with_the_majority():
    session = live(made())
    [receipt] = sent(m.Receipt, deliver(session, secret(), sync(), now=5.0))
    assert receipt.report.staleness_ms == 0
    session.received(10, CHANCE, m.Stale(True))
    [receipt] = sent(m.Receipt, deliver(session, secret(version=2, index=11), sync(11, False, True), now=12.0))
    assert receipt.report.staleness_ms == 2000
    [receipt] = sent(m.Receipt, deliver(session, secret(version=3, index=12), sync(12, False, False), now=13.0))
    assert receipt.report.staleness_ms == 0


def test_who_was_held_up_itself_asks_before_it_leaves():
    """A suspended or starved process comes back to timers that are long over, with the node's words still unread."""
    session = live(made())
    actions = session.woken(10.0, CHANCE)  # five heartbeats late
    assert sent(m.Ping, actions) and not of(Close, actions)
    session.heard(10.01)
    assert not of(Close, session.woken(11.0, CHANCE))
    assert sent(m.Ping, session.woken(20.0, CHANCE))
    wait = of(Wait, session.woken(20.1, CHANCE))[0].seconds
    assert wait == pytest.approx(s.ANSWER * 2.0 - 0.1)
    assert of(Close, session.woken(20.1 + wait, CHANCE)), "nothing came: it is the node"


def test_another_store_is_heard_out_whatever_its_index_and_told_nothing_of_the_former():
    session = made(resume=Resume({"a/b": 3, "a/c": 1}, {}, 50, True, "one"))
    session.start(0, CHANCE)
    [hello] = sent(m.Hello, session.connected(0, ROUTE, "token", None))
    assert hello.store == "one"
    session.received(0, CHANCE, m.Welcome(2, "safe-1", 4, 2000, False, "c", "two"))
    assert not sent(m.Receipt, session.notified(0, 1, "", 1, 0)), "of versions that mean nothing there"
    actions = deliver(session, secret(version=1, index=4), sync(4))
    [receipt] = sent(m.Receipt, actions)
    assert receipt.placed == {"a/b": 1} and receipt.index == 4
    assert any("built anew" in log.text for log in of(Log, actions))
    assert any("a/c" in log.text for log in of(Log, actions))
    status = session.status(1)
    assert (status["store"], status["former"], status["secrets"]) == ("two", ["a/c"], {"a/b": 1, "a/c": 1})
    assert of(Close, session.received(2, CHANCE, sync(3))), "from here on its own index may not go back"
