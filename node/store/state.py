"""The replicated map itself: records by name, tombstones, data keys and sessions, with the sums that limits need.

Why it exists: everything that a snapshot must hold is here and nothing else is, so a loaded state can be swapped in as
one object.
What it refuses to do: know commands, or decide. It keeps its indices and sums right.
"""

from __future__ import annotations

import bisect
from typing import TypeAlias

from node.store.records import Record
from node.store.sessions import Sessions

Page: TypeAlias = list[Record]


class State:
    """Owned by one Store; mutable, its records are not.

    `index`: last applied log index. `weight`: sum of all records' weights. `live`: records that are not deleted.
    `tombstones`: highest version of purged names, oldest first. `floor`: above the versions of those forgotten.
    `names`: of all records, sorted.
    """

    __slots__ = ("floor", "index", "keys", "live", "names", "records", "sessions", "tombstones", "weight")

    def __init__(self) -> None:
        self.index = 0
        self.records: dict[str, Record] = {}
        self.names: list[str] = []
        self.tombstones: dict[str, int] = {}
        self.floor = 0
        self.keys: dict[int, bytes] = {}
        self.sessions = Sessions()
        self.weight = 0
        self.live = 0

    @property
    def count(self) -> int:
        """Names with a record."""
        return len(self.records)

    def get(self, name: str) -> Record | None:
        return self.records.get(name)

    def put(self, record: Record) -> None:
        """Adds or replaces; a tombstone of the name has served and goes."""
        old = self.records.get(record.name)
        if old is None:
            bisect.insort(self.names, record.name)
            self.tombstones.pop(record.name, None)
        else:
            self.weight -= old.weight
            self.live -= not old.deleted
        self.records[record.name] = record
        self.weight += record.weight
        self.live += not record.deleted

    def purge(self, name: str, tombstones: int) -> None:
        """Removes a record that is there and keeps its version, of at most `tombstones` names; the versions of those
        forgotten raise the floor, so that no name ever goes backwards."""
        old = self.records.pop(name)
        del self.names[bisect.bisect_left(self.names, name)]
        self.weight -= old.weight
        self.live -= not old.deleted
        self.tombstones[name] = old.version
        while len(self.tombstones) > tombstones:
            oldest = next(iter(self.tombstones))
            self.floor = max(self.floor, self.tombstones.pop(oldest))

    def highest(self, name: str) -> int:
        """The highest version `name` may ever have had."""
        record = self.records.get(name)
        return record.version if record is not None else self.tombstones.get(name, self.floor)

    def page(self, namespace: str | None, prefix: str, after: str, limit: int) -> Page:
        """At most `limit` records in the order of their names, deleted ones included: of `namespace`, if given, whose
        full name begins with `prefix`, after the name `after`."""
        prefixes = (prefix,) if namespace is None else (prefix, f"{namespace}/")
        start = bisect.bisect_left(self.names, max(prefixes))
        if after:
            start = max(start, bisect.bisect_right(self.names, after))
        out: Page = []
        for position in range(start, len(self.names)):
            name = self.names[position]
            if len(out) >= limit or not all(map(name.startswith, prefixes)):
                break
            out.append(self.records[name])
        return out


class Draft:
    """A state with some records replaced, which it does not know of: what the next change of a batch sees."""

    __slots__ = ("_state", "changed", "count", "weight")

    def __init__(self, state: State) -> None:
        self._state = state
        self.changed: dict[str, Record] = {}
        self.count = state.count
        self.weight = state.weight

    def get(self, name: str) -> Record | None:
        return self.changed.get(name) or self._state.get(name)

    def highest(self, name: str) -> int:
        """As of the state."""
        changed = self.changed.get(name)
        return self._state.highest(name) if changed is None else changed.version

    def put(self, record: Record) -> None:
        old = self.get(record.name)
        self.count += old is None
        self.weight += record.weight - (0 if old is None else old.weight)
        self.changed[record.name] = record


View: TypeAlias = State | Draft
