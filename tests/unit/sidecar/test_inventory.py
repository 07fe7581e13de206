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
