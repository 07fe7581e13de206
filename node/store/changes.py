"""Which names changed since somebody last asked.

Why it exists: the hub asks once per turn of the loop, so a burst of commands costs it each name once.
What it refuses to do: grow without end when nobody asks, or be part of the state: it is lost at a restart, where
everything counts as changed anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from node.store.records import Change


class Changes:
    """Names and the log index of their last change.

    Names that have a record are at most as many as there are records. Names that are gone are kept up to `gone`, the
    oldest forgotten first: only a reader that has not asked for longer than that misses one."""

    __slots__ = ("_changed", "_gone", "_limit")

    def __init__(self, gone: int) -> None:
        self._changed: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._limit = gone

    def changed(self, name: str, index: int) -> None:
        """`name` has a record, new or not what it was."""
        self._gone.pop(name, None)
        self._changed[name] = index

    def gone(self, name: str, index: int) -> None:
        """`name` has no record any more."""
        self._changed.pop(name, None)
        self._gone.pop(name, None)
        self._gone[name] = index
        if len(self._gone) > self._limit:
            del self._gone[next(iter(self._gone))]

    def reset(self, names: Iterable[str], index: int) -> None:
        """`names` are now all that have a record, and each changed."""
        self._changed = dict.fromkeys(names, index)
        for name in self._changed.keys() & self._gone.keys():
            del self._gone[name]

    def __len__(self) -> int:
        return len(self._changed) + len(self._gone)

    def drain(self, limit: int) -> list[Change]:
        """At most `limit` of them, the rest stays: after a snapshot was taken over everything has changed, and telling
        of all at once would hold up the loop. In the order of their index and name."""
        rows = list(itertools.islice(itertools.chain(self._changed.items(), self._gone.items()), limit))
        if len(rows) == len(self):
            self._changed, self._gone = {}, {}
        else:
            for name, _ in rows:
                if self._changed.pop(name, None) is None:
                    del self._gone[name]
        rows.sort(key=lambda row: (row[1], row[0]))
        return [Change(name, index) for name, index in rows]
