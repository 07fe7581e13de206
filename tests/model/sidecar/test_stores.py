"""Two stores in turns behind one name, with streams, writes and processes that break anywhere.

Once a set of a store is in place: each of its secrets lies there with that store's value, whatever the numbers; what it
has taken away is gone; and what is there beside them is known to be of a store before.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.inventory import Inventory, Resume
from sidecar.wire import codes
from sidecar.wire import messages as m

NAMES = ["a/a", "a/b", "a/c"]
name = st.sampled_from(NAMES)
STORES = ("one", "two")


class Store:
    """What a node knows: versions that never go back, deleted names included, and the index of its log."""

    def __init__(self):
        self.index = 1
        self.versions = {}
        self.gone = set()

    def put(self, one):
        self.index += 1
        self.versions[one] = self.versions.get(one, 0) + 1
        self.gone.discard(one)

    def delete(self, one):
        self.index += 1
        if one in self.versions:
            self.gone.add(one)

    def live(self):
        return {one: version for one, version in self.versions.items() if one not in self.gone}


class Pod(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.stores = {which: Store() for which in STORES}
        self.disk = {}  # name -> (store, version): what an application reads
        self.manifest = Resume()
        self.said_gone = set()  # names that any store has ordered removed, since they were last written
        self.sent = {which: set() for which in STORES}
        self.restart()

    @rule()
    def restart(self):
        self.made = Inventory((), self.manifest)
        self.which, self.known, self.settled = "", {}, False

    # -- the stores ------------------------------------------------------------------------------------------------

    @rule(which=st.sampled_from(STORES), one=name)
    def put(self, which, one):
        self.stores[which].put(one)
        self.settled = False

    @rule(which=st.sampled_from(STORES), one=name)
    def delete(self, which, one):
        self.stores[which].delete(one)
        self.settled = False

    # -- the stream ------------------------------------------------------------------------------------------------

    @rule(which=st.sampled_from(STORES), cut=st.integers(0, 12), fails=st.booleans())
    def connect(self, which, cut, fails):
        """HELLO, WELCOME, the first set; `cut`: messages until the stream breaks."""
        self.made.drop()
        have, store = self.made.greet(), self.made.store
        for one, version in have.items():
            assert self.disk[one] == (store, version), "it claims what is not there, or is another store's"
        self.which, self.known = which, dict(have) if store in ("", which) else {}
        self.made.meet(which)
        assert self.made.another or self.stores[which].index >= self.made.index
        self.tell(True, cut, fails)

    @precondition(lambda self: self.which)
    @rule(cut=st.integers(0, 12), fails=st.booleans())
    def news(self, cut, fails):
        self.tell(False, cut, fails)

    def tell(self, full, cut, fails):
        store = self.stores[self.which]
        words = [
            m.Secret(one, version, store.index, {"value": self.which.encode()})
            for one, version in store.live().items()
            if version > self.known.get(one, 0)
        ]
        words += [m.Gone(one, codes.DELETED) for one in self.known.keys() - store.live().keys()]
        for word in words[:cut]:
            if isinstance(word, m.Secret):
                assert self.made.secret(word)
            else:
                self.made.gone(word)
        if cut <= len(words):
            self.made.drop()
            self.which, self.settled = "", False
            return
        self.known = dict(store.live())
        self.said_gone |= {word.name for word in words if isinstance(word, m.Gone)}
        self.sent[self.which] |= {word.name for word in words if isinstance(word, m.Secret)}
        if full:  # a whole set that leaves out what the same store has sent before takes it away
            self.said_gone |= self.sent[self.which] - store.live().keys()
        self.made.commit(m.Sync(store.index, False, full))
        self.place(fails)

    # -- the files -------------------------------------------------------------------------------------------------

    def place(self, fails):
        place = self.made.removals() if fails else self.made.place()
        if place is not None:
            for one, change in place.changes.items():
                if change is None:
                    assert one in self.said_gone or one not in self.disk, "removed without a word"
                    self.disk.pop(one, None)
                else:
                    self.disk[one] = (change.fields["value"].decode(), change.version)
                    self.said_gone.discard(one)
            held = {one: version for one, (_, version) in self.disk.items()}
            self.manifest = Resume(held, place.floors, place.index, place.complete, place.store, place.former)
            self.made.placed(place)
        self.settled = not fails

    @invariant()
    def a_set_in_place_is_that_of_its_store(self):
        assert self.made.held == {one: version for one, (_, version) in self.disk.items()}
        assert self.made.former <= self.disk.keys()
        if not self.settled or not self.which:
            return
        live = self.stores[self.which].live()
        for one, version in live.items():
            assert self.disk[one] == (self.which, version)
        assert self.disk.keys() - live.keys() <= self.made.former, "taken away by the store that delivered it"


TestPod = Pod.TestCase
