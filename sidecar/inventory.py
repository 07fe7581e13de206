"""What a pod has, what is on its way, and what may never come back: the set of secrets, without the stream.

Why it exists: the rules of the set (older is never taken, removed only when told, one swap a SYNC) outlive every
stream, and are easier to trust when they stand alone. What it refuses to do: know a node or the time; take an older
version than it has seen; or remove a secret for any other reason than a node's explicit word inside a committed batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.actions import Place
from sidecar.wire import codes, names
from sidecar.wire import messages as m

MAX_PENDING: Final = 64 << 20
"""Bytes of values held between their arrival and the swap."""


@dataclass(frozen=True, slots=True)
class Resume:
    """What the files of an earlier run say: versions in place, lowest versions to accept, index, first set complete,
    the store they are of, and the names whose value is of a store before that."""

    held: Mapping[str, int] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)
    index: int = 0
    complete: bool = False
    store: str = ""
    former: frozenset[str] = frozenset()


class Inventory:
    """The set of one sidecar. `want` empty: everything granted. `index`: the highest SYNC taken. `store`: the identity
    of the store that index, versions and floors are of. `another`: the node's, if that is another one and its first set
    is awaited, else "". `former`: names whose value is of a store before this one, and stays until this one names them.
    """

    def __init__(self, want: tuple[str, ...], resume: Resume) -> None:
        self._order = want
        self._want = frozenset(want)
        self.held = dict(resume.held)  # versions in the files
        self.store, self.another = resume.store, ""
        self.former = set(resume.former)
        self._floors = {**resume.floors}
        for name, version in self.vouched().items():
            self._floors[name] = max(version, self._floors.get(name, 0))
        self.index = resume.index
        self.placed_index = resume.index
        self.complete = resume.complete
        self.full = False  # a full set was taken in this life
        self.denied: dict[str, str] = {}
        self._named: set[str] = set()  # what this stream has vouched for
        self._incoming: dict[str, m.Secret | None] = {}  # since the last SYNC; dies with the stream
        self._due: dict[str, m.Secret | None] = {}  # committed by a SYNC, not in the files yet; outlives the stream

    @property
    def pending(self) -> bool:
        """Whether something committed is not in the files yet."""
        return bool(self._due)

    def vouched(self) -> dict[str, int]:
        """Versions in the files that count in this store: what may be claimed to its nodes."""
        return {name: version for name, version in self.held.items() if name not in self.former}

    def wanted(self, name: str) -> bool:
        return not self._want or name in self._want

    def missing(self) -> list[str]:
        """What is asked for by name and not in the files."""
        return [name for name in self._order if name not in self.held]

    def why(self, name: str) -> str:
        """The node's last word on a name that is not there. One that a full set did not mention was not found; before
        that nobody was heard."""
        if self._upcoming(name):
            return codes.NOT_PLACED
        return self.denied.get(name, codes.NOT_FOUND if self.full else codes.UNAVAILABLE)

    def why_missing(self) -> str:
        missing = self.missing()
        shown = ", ".join(f"{name} ({self.why(name)})" for name in missing[:8])
        return shown + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")

    # -- a stream's words --------------------------------------------------------------------------------------------

    def greet(self) -> dict[str, int]:
        """A stream begins: what HELLO claims to have."""
        self._incoming.clear()
        have = {name: version for name, version in self.vouched().items() if self.wanted(name)}
        for name, change in self._due.items():
            if change is None:
                have.pop(name, None)  # to be removed: should it be granted again, it has to be sent again
        self._named = set(have)
        return have

    def meet(self, store: str) -> None:
        """A node's WELCOME names its store. One that does not is taken for ours, as long as its index allows."""
        if store and self.store and store != self.store:
            self.another = store
        elif store:
            self.store = store

    def drop(self) -> None:
        """A stream ends: forget what only it could have completed. Files and committed changes stay."""
        self._incoming.clear()
        self.another = ""

    def secret(self, secret: m.Secret) -> bool:
        """Part of the next SYNC, if it is wanted and not older. False: more than one pod may hold."""
        if not self.wanted(secret.name):
            return True
        self._named.add(secret.name)
        self.denied.pop(secret.name, None)
        upcoming = self._upcoming(secret.name)
        # After a removal the same version may come back (granted again), an older one never.
        floor = 0 if self.another else self._floors.get(secret.name, 0)
        if secret.version <= upcoming or secret.version < floor:
            return True
        self._incoming[secret.name] = secret
        waiting = [change for batch in (self._due, self._incoming) for change in batch.values() if change]
        count = len(self.held.keys() | self._due.keys() | self._incoming.keys())
        return sum(change.size for change in waiting) <= MAX_PENDING and count <= names.MAX_SECRETS

    def gone(self, gone: m.Gone) -> None:
        self._named.discard(gone.name)
        if self.wanted(gone.name) and len(self.denied) < names.MAX_SECRETS:
            self.denied[gone.name] = gone.code
        if self._upcoming(gone.name) or (not self.another and gone.name in self.held.keys() - self.former):
            self._incoming[gone.name] = None

    def deny(self, denied: m.Denied) -> bool:
        """Whether that is news."""
        if not self.wanted(denied.name) or self.denied.get(denied.name) == denied.code:
            return False
        if len(self.denied) < names.MAX_SECRETS:
            self.denied[denied.name] = denied.code
        return True

    def commit(self, sync: m.Sync) -> list[str]:
        """All since the last SYNC is due. Returns what is to be removed and why, in words."""
        news = self._take_over() if self.another else []
        if sync.full:
            for name in (self.held.keys() | self._due.keys()) - self._named:
                if self._upcoming(name):  # in the files, or due since an earlier stream and taken away meanwhile
                    self._incoming[name] = None
        removed = [
            f"{name} is to be removed: {self.denied.get(name, 'not part of the set')}"
            for name, change in self._incoming.items()
            if change is None
        ]
        self._due.update(self._incoming)
        self._incoming.clear()
        self.index, self.full, self._floors = sync.index, self.full or sync.full, self._raised()
        return news + removed

    def _take_over(self) -> list[str]:
        """The first set of another store begins a new count of versions. Returns that in words.

        What it does not name stays: that it knows nothing of a secret is no word about it. What the former store has
        taken away goes all the same; what it has sent and is not in the files yet is void.
        """
        before, self.store, self.another = self.store, self.another, ""
        self.former = set(self.held)
        self.placed_index, self._floors = 0, {}
        self._due = {name: None for name, change in self._due.items() if change is None}
        stay = sorted(self.former - self._incoming.keys() - self._due.keys())
        news = [f"the store was built anew: its identity is {self.store} and was {before}; versions begin again"]
        if stay:
            shown = ", ".join(stay[:8]) + (f" and {len(stay) - 8} more" if len(stay) > 8 else "")
            news.append(f"of the former store, and kept until this one delivers them: {shown}")
        return news

    # -- the files ---------------------------------------------------------------------------------------------------

    def place(self) -> Place:
        """All that is due, as one change of the files."""
        former = frozenset(self.former - self._due.keys())
        return Place(dict(self._due), self.index, self._complete_after(), self._floors, store=self.store, former=former)

    def removals(self) -> Place | None:
        """Only what is to be removed, for when the rest cannot be placed; None if nothing is.

        No SYNC is in place by it, so the index stays.
        """
        gone: dict[str, m.Secret | None] = {name: None for name, change in self._due.items() if change is None}
        if not gone:
            return None
        former = frozenset(self.former - gone.keys())
        return Place(gone, self.placed_index, self.complete, self._floors, True, self.store, former)

    def placed(self, place: Place) -> None:
        """That one is in the files. What came since stays due."""
        late = bool(place.store) and place.store != self.store  # of a store that another has taken over from meanwhile
        for name, change in place.changes.items():
            self.former.discard(name)
            if change is None:
                self.held.pop(name, None)
            else:
                self.held[name] = change.version
                if late:
                    self.former.add(name)
            if name in self._due and self._due[name] is change:
                del self._due[name]
        if not late:
            self.placed_index, self.complete = place.index, place.complete

    def _upcoming(self, name: str) -> int:
        """The version that would be in the files if everything known were placed; 0 for none."""
        for batch in (self._incoming,) if self.another else (self._incoming, self._due):
            if name in batch:
                change = batch[name]
                return change.version if change else 0
        return 0 if self.another or name in self.former else self.held.get(name, 0)

    def _complete_after(self) -> bool:
        """Whether the first whole set is in place once everything due is. Stays true from then on."""
        kept = self.former - self._due.keys()
        return self.complete or (self.full and all(name in kept or self._upcoming(name) for name in self._order))

    def _raised(self) -> dict[str, int]:
        """The lowest versions to accept from now on, for names held, due and removed.

        Past twice the limit the names no longer held are forgotten, oldest first:
        the log index still protects against a node that is behind.
        """
        floors = dict(self._floors)
        for name, change in self._due.items():
            if change is not None:
                floors[name] = max(change.version, floors.get(name, 0))
        surplus = len(floors) - 2 * names.MAX_SECRETS
        for name in [name for name in floors if name not in self.held][: max(surplus, 0)]:
            del floors[name]
        return floors
