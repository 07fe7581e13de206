"""The store: the replicated map as a state machine that the log drives.

Why it exists: this is the one place where a command becomes a change, at once and exactly once, on every node alike.
What it refuses to do: I/O, clocks, randomness, or going on after something it does not understand. What a caller could
cause is an answer; anything else raises and stops the node.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.errors import Fatal, Rejected
from node.store import commands, snapshot
from node.store.changes import Changes
from node.store.records import Change, Limits, Record
from node.store.state import Page, State
from node.store.transitions import Outcome, decide

Changed = list[Change]

# Names told of in one call: a few ms of work for whoever follows them up.
DRAIN = 4096


class Store:
    """Use from one thread, except that `load` and the iteration over `capture()` may run in another.

    `limits` are part of what is replicated: the same on every node, or they would answer differently."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._state = State()
        self._changes = Changes(self._limits.secrets + self._limits.tombstones)

    def apply(self, index: int, command: bytes) -> bytes:
        """The packed answer to the command at log position `index`:
        {"ok": True, "name", "version", "index"} (add_key: name "", version = generation; `index` is that of the last
        change, which is an older one if there was nothing to change; put: "window_cleared" if it ended a window; batch:
        name "", version 0 and "changed", a (name, version, created|updated|changed) of each)
        or {"ok": False, "code", "message", "hint"}.

        Raises Fatal for an index that is not above the last one and for bytes that are not a command."""
        state = self._state
        if index <= state.index:
            raise Fatal(f"log index {index} is applied after {state.index}", hint="restore this node from a backup")
        try:
            parsed = commands.decode(command)
        except Rejected as error:
            what = f"log index {index} holds no command this version knows: {error.message}"
            raise Fatal(what, hint="run the newest version that runs in this cluster") from None
        state.sessions.prune(index, self._limits.sessions)
        result = state.sessions.get(parsed.rid)
        if result is None:
            outcome = decide(state, parsed, index, self._limits)
            result = outcome.result
            self._enact(outcome, index)
            state.sessions.put(index, parsed.rid, result)
        state.index = index
        return result

    def _enact(self, outcome: Outcome, index: int) -> None:
        for record in outcome.records:
            self._state.put(record)
            self._changes.changed(record.name, index)
        if outcome.purged is not None:
            self._state.purge(outcome.purged, self._limits.tombstones)
            self._changes.gone(outcome.purged, index)
        elif outcome.key is not None:
            generation, wrapped = outcome.key
            self._state.keys[generation] = wrapped

    def answered(self, rid: bytes) -> bytes | None:
        """What apply returned for the command of that rid, if it is remembered."""
        return self._state.sessions.get(rid)

    def capture(self) -> Iterable[bytes]:
        """The state of this moment as msgpack chunks (node.store.snapshot). The call costs a few ms for 100 000
        records; the iteration may run in another thread while apply goes on."""
        return snapshot.capture(self._state)

    @staticmethod
    def load(chunks: Iterable[bytes]) -> State:
        """A new state from the chunks of a snapshot. Raises Fatal if they are not one whole, well-formed snapshot."""
        return snapshot.load(chunks)

    def adopt(self, state: State) -> None:
        """Makes `state` the state of this store, which owns it from now on. Every name of the old and the new one
        counts as changed."""
        for name in self._state.names:
            if name not in state.records:
                self._changes.gone(name, state.index)
        self._changes.reset(state.names, state.index)
        self._state = state

    @property
    def index(self) -> int:
        """Last applied log index; 0 before the first."""
        return self._state.index

    @property
    def keys(self) -> dict[int, bytes]:
        """Wrapped data keys by generation: a copy."""
        return dict(self._state.keys)

    @property
    def stored_bytes(self) -> int:
        """What counts against `Limits.stored_bytes`."""
        return self._state.weight

    @property
    def tombstones(self) -> int:
        """Purged names whose highest version is remembered one by one."""
        return len(self._state.tombstones)

    def __len__(self) -> int:
        """Secrets that are not deleted."""
        return self._state.live

    def get(self, name: str) -> Record | None:
        """The record, also of a deleted secret; None if there is none."""
        return self._state.records.get(name)

    def drain_changes(self, limit: int = DRAIN) -> Changed:
        """What changed since the last call, each name once, at most `limit` of them; `changes_waiting` tells whether
        there are more. No part of the state."""
        return self._changes.drain(limit)

    @property
    def changes_waiting(self) -> bool:
        """Whether drain_changes has more to tell."""
        return len(self._changes) > 0

    def list(self, namespace: str | None = None, prefix: str = "", after: str = "", limit: int = 100) -> Page:
        """At most `limit` records in the order of their names, deleted ones included: of `namespace`, if given, whose
        full name ("ns/name") begins with `prefix`, after the full name `after`."""
        return self._state.page(namespace, prefix, after, limit)
