"""Who waits and who is next: addresses in turns, the silent bounded."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.delivery import lobby as module
from node.delivery.lobby import PATIENCE, Lobby


def drained(lobby, shaking=()):
    found = []
    while (one := lobby.next(dict(shaking))) is not None:
        found.append(one)
    return found


def test_addresses_take_turns_and_each_is_served_in_its_order():
    lobby = Lobby()
    for peer, address in ((1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c"), (6, "b")):
        assert lobby.spoke(peer, address)
    assert [peer for peer, _ in drained(lobby)] == [1, 4, 5, 2, 6, 3] and lobby.count == 0


def test_who_has_not_spoken_is_not_next():
    lobby = Lobby()
    assert lobby.arrived(1, "a", 0.0) is None and lobby.arrived(2, "a", 0.0) is None
    assert lobby.next({}) is None
    assert lobby.spoke(2, "a") and drained(lobby) == [(2, "a")] and lobby.count == 1


def test_one_address_with_many_unfinished_handshakes_waits_and_the_others_do_not():
    lobby = Lobby()
    for peer, address in ((1, "a"), (2, "b"), (3, "b")):
        lobby.spoke(peer, address)
    assert drained(lobby, {"a": module.SHAKING}.items()) == [(2, "b"), (3, "b")]
    assert drained(lobby, {"a": module.SHAKING - 1}.items()) == [(1, "a")]


def test_the_silent_of_one_address_make_room_for_its_own(monkeypatch):
    monkeypatch.setattr(module, "SILENT", 2)
    lobby = Lobby()
    assert [lobby.arrived(peer, "a", 0.0) for peer in (1, 2, 3, 4)] == [None, None, 1, 2]
    assert lobby.arrived(5, "b", 0.0) is None and lobby.count == 3


def test_when_all_are_too_many_the_address_with_the_most_gives_way(monkeypatch):
    monkeypatch.setattr(module, "SILENT_IN_ALL", 4)
    lobby = Lobby()
    for peer, address in ((1, "b"), (2, "a"), (3, "a"), (4, "a")):
        assert lobby.arrived(peer, address, 0.0) is None
    assert lobby.arrived(5, "c", 0.0) == 2 and lobby.arrived(6, "b", 0.0) is not None and lobby.count == 4


def test_of_one_address_only_so_many_wait_for_their_handshake(monkeypatch):
    monkeypatch.setattr(module, "SPOKEN", 2)
    lobby = Lobby()
    lobby.arrived(3, "a", 0.0)
    assert [lobby.spoke(peer, "a") for peer in (1, 2, 3)] == [True, True, False]
    assert lobby.count == 2 and lobby.spoke(4, "b")


def test_those_who_say_nothing_in_time_go():
    lobby = Lobby()
    lobby.arrived(1, "a", 0.0)
    lobby.arrived(2, "a", 1.0)
    lobby.spoke(3, "a")
    assert lobby.overdue(PATIENCE - 0.01) == [] and lobby.overdue(PATIENCE) == [1]
    assert lobby.clear() == ([2], [3]) and lobby.count == 0 and lobby.overdue(1e9) == []


class Door(RuleBasedStateMachine):
    """Whatever comes and goes: everybody is in exactly one place, and told so when it is not."""

    def __init__(self):
        super().__init__()
        self.lobby = Lobby()
        self.silent, self.spoken = {}, {}
        self.now, self.last = 0.0, 0

    @rule(address=st.sampled_from("abc"), speaks=st.booleans())
    def arrive(self, address, speaks):
        self.last += 1
        if speaks:
            assert self.lobby.spoke(self.last, address)
            self.spoken[self.last] = address
        else:
            assert self.lobby.arrived(self.last, address, self.now) is None
            self.silent[self.last] = (address, self.now)

    @rule(data=st.data())
    def speak(self, data):
        if self.silent:
            peer = data.draw(st.sampled_from(sorted(self.silent)))
            address, _ = self.silent.pop(peer)
            assert self.lobby.spoke(peer, address)
            self.spoken[peer] = address

    @rule()
    def take(self):
        found = self.lobby.next({})
        assert (found is None) == (not self.spoken)
        if found is not None:
            assert self.spoken.pop(found[0]) == found[1]

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds):
        self.now += seconds
        late = {peer for peer, (_, since) in self.silent.items() if self.now - since >= PATIENCE}
        assert set(self.lobby.overdue(self.now)) == late
        self.silent = {peer: one for peer, one in self.silent.items() if peer not in late}

    @invariant()
    def counted(self):
        assert self.lobby.count == len(self.silent) + len(self.spoken)


TestDoor = Door.TestCase
