"""The set alone: what is accepted, what is removed, and what a restart would find. Its life with streams: the session's."""

from __future__ import annotations

from sidecar import inventory as module
from sidecar.inventory import Inventory, Resume
from sidecar.wire import codes, names
from sidecar.wire import messages as m


def secret(name="a/b", version=1, index=5):
    return m.Secret(name, version, index, {"value": b"canary"})


def place(made, *secrets, gone=(), index=10, full=True):
    for one in secrets:
        assert made.secret(one)
    for name in gone:
        made.gone(m.Gone(name, codes.DELETED))
    made.commit(m.Sync(index, False, full))
    action = made.place()
    made.placed(action)
    return action


def test_floors_survive_a_removal_and_a_restart():
    made = Inventory((), Resume())
    place(made, secret(version=5))
    action = place(made, gone=["a/b"], full=False)
    assert made.held == {} and action.floors == {"a/b": 5}
    again = Inventory((), Resume({}, action.floors, 10, True))
    place(again, secret(version=4))
    assert again.held == {}, "older than what was removed"
    place(again, secret(version=5))
    assert again.held == {"a/b": 5}, "granted again"


def test_forgotten_floors_are_those_of_secrets_no_longer_held(monkeypatch):
    monkeypatch.setattr(names, "MAX_SECRETS", 2)
    made = Inventory((), Resume({"a/z": 1}, {f"a/n{n}": 1 for n in range(6)}))
    made.commit(m.Sync(1, False, False))
    assert list(made.place().floors) == ["a/n3", "a/n4", "a/n5", "a/z"]


def test_more_than_a_pod_may_hold_is_said(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 11)
    made = Inventory((), Resume())
    assert made.secret(secret("a/b")) and not made.secret(secret("a/c"))


def test_a_name_nobody_asked_for_is_ignored():
    made = Inventory(("a/b",), Resume())
    assert made.secret(secret("a/c")) and not made.deny(m.Denied("a/c", "not_granted", ""))
    assert not place(made).changes


def test_what_is_missing_is_said_with_the_nodes_word():
    made = Inventory(tuple(f"a/n{n}" for n in range(10)), Resume())
    made.deny(m.Denied("a/n0", codes.NOT_YET_VALID, ""))
    made.gone(m.Gone("a/n1", codes.EXPIRED))
    made.secret(secret("a/n2"))
    assert made.why_missing().endswith("a/n7 (unavailable) and 2 more"), "no node has said what there is"
    made.commit(m.Sync(10, False, True))
    said = made.why_missing()
    assert said.startswith("a/n0 (not_yet_valid), a/n1 (expired), a/n2 (not_placed), a/n3 (not_found)")
    made.placed(made.place())
    assert "a/n2" not in made.why_missing()


def test_a_denial_is_news_once():
    made = Inventory((), Resume())
    assert made.deny(m.Denied("a/b", "not_granted", "")) and not made.deny(m.Denied("a/b", "not_granted", ""))
    assert made.deny(m.Denied("a/b", "expired", ""))


def test_what_came_while_one_place_was_rendered_stays_due():
    made = Inventory((), Resume())
    made.secret(secret("a/b", 1))
    made.commit(m.Sync(10, False, True))
    first = made.place()
    made.secret(secret("a/b", 2, index=11))
    made.secret(secret("a/c", 1, index=11))
    made.commit(m.Sync(11, False, False))
    made.placed(first)
    assert made.held == {"a/b": 1} and made.placed_index == 10 and made.pending
    second = made.place()
    assert set(second.changes) == {"a/b", "a/c"}
    made.placed(second)
    assert made.held == {"a/b": 2, "a/c": 1} and made.placed_index == 11 and not made.pending


def met(store="two", resume=None):
    made = Inventory((), resume or Resume({"a/b": 4, "a/c": 2}, {"a/gone": 9}, 50, True, "one"))
    made.greet()
    made.meet(store)
    return made


def test_another_store_takes_over_at_its_first_set_and_not_before():
    made = met()
    assert made.another == "two" and made.secret(secret(version=1)) and made.secret(secret("a/gone", 1))
    made.drop()
    assert (made.another, made.store, made.index) == ("", "one", 50) and made.held == {"a/b": 4, "a/c": 2}
    made = met()
    action = place(made, secret(version=1), secret("a/gone", 1), index=7)
    assert (action.store, action.index, action.former) == ("two", 7, frozenset({"a/c"}))
    assert made.held == {"a/b": 1, "a/gone": 1, "a/c": 2} and made.vouched() == {"a/b": 1, "a/gone": 1}
    assert made.greet() == {"a/b": 1, "a/gone": 1} and made.index == 7
    assert Inventory((), Resume(made.held, action.floors, 7, True, "two", action.former)).greet() == made.greet()


def test_what_another_store_does_not_name_is_removed_by_no_word_but_its_own():
    made = met()
    place(made, gone=["a/b"])
    assert made.held == {"a/b": 4, "a/c": 2} and made.former == {"a/b", "a/c"}
    place(made, gone=["a/b"], full=True)
    assert made.held == {"a/b": 4, "a/c": 2}, "it never had it"
    place(made, secret(version=1), full=False)
    place(made, gone=["a/b"], full=False)
    assert made.held == {"a/c": 2} and made.former == {"a/c"}


def test_one_that_does_not_name_its_store_is_ours_and_a_first_name_is_learned():
    assert met("").another == "" and met("one").another == ""
    made = met("one", Resume({"a/b": 4}, {}, 50, True))
    assert made.another == "" and made.store == "one" and made.greet() == {"a/b": 4}


def test_what_the_former_store_took_away_goes_and_what_it_sent_is_void():
    made = Inventory((), Resume({"a/b": 4, "a/c": 2}, {}, 50, True, "one"))
    made.greet()
    made.gone(m.Gone("a/b", codes.NOT_GRANTED))
    assert made.secret(secret("a/c", 3))
    made.commit(m.Sync(51, False, True))
    made.drop()
    made.greet()
    made.meet("two")
    said = made.commit(m.Sync(7, False, True))
    assert "built anew" in said[0] and "a/c" in said[1] and "a/b" not in said[1]
    removals = made.removals()
    assert removals is not None and removals.index == 0, "no set of this store is in place by it"
    action = made.place()
    assert action.changes == {"a/b": None} and action.former == {"a/c"}
    made.placed(action)
    assert made.held == {"a/c": 2} and made.vouched() == {}


def test_a_place_of_the_former_store_that_comes_late_is_of_the_former_store():
    """Its templates were rendered while the other store took over."""
    made = Inventory((), Resume({}, {}, 50, True, "one"))
    made.greet()
    made.secret(secret("a/b", 3))
    made.commit(m.Sync(51, False, True))
    late = made.place()
    made.drop()
    made.greet()
    made.meet("two")
    made.commit(m.Sync(7, False, True))
    made.placed(late)
    assert made.held == {"a/b": 3} and made.vouched() == {} and made.placed_index == 0


def test_what_was_taken_away_before_it_found_room_is_not_placed():
    """The batch outlives its stream, and the next one knows nothing of it: nobody will say GONE."""
    made = Inventory((), Resume({"a/b": 1}, {}, 9, True))
    made.greet()
    made.secret(secret("a/c", 1))
    made.commit(m.Sync(10, False, True))
    late = made.place()
    made.drop()
    assert made.greet() == {"a/b": 1}
    made.commit(m.Sync(11, False, True))
    made.placed(late)  # its templates were being rendered all the while
    place(made, index=12, full=False)
    assert made.held == {"a/b": 1}
