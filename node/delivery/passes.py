"""One subscriber's passes: what it holds against what it may have, name by name, and the difference said.

Why it exists: a new subscriber, a resumed one, a change, an expiry and a slow reader that has caught up are all the
same pass over more or fewer names, so what a sidecar is told is decided in one place, from the store and the policy of
that moment. What it refuses to do: send a secret that is not granted at that moment, send an older version than was
sent before, let one unreadable value hold up the rest, or buffer for a slow reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.delivery import policy
from node.delivery.frames import SecretFrames
from node.delivery.grants import GrantIndex, WideGrants
from node.delivery.ports import Record, Source
from node.delivery.subscriber import Action, Send, Subscriber, Unopened, Withheld
from sidecar.wire import codes, names
from sidecar.wire import messages as m

QUEUE_LIMIT: Final = 4 << 20
"""Bytes one stream may have under way: three of the largest secrets. More would be memory for readers that are stuck;
less would make a large set a ping-pong."""
SEND_COST: Final = 8
"""In units of looking at a name: what a frame costs here and in the server (TLS record, system call)."""
BYTES_PER_UNIT: Final = 16 << 10

_WHY: Final = {
    codes.NOT_FOUND: "there is no such secret",
    codes.NOT_GRANTED: "it is not granted to this service account",
    codes.DELETED: "it has been deleted",
    codes.NOT_YET_VALID: "it is not valid yet",
    codes.EXPIRED: "it has expired",
    codes.SEALED: "this node cannot open it with the keys it has",
    codes.TOO_LARGE: f"one sidecar holds at most {names.MAX_SECRETS} secrets: name the ones it needs",
}


class Passes:
    """`again(subscriber)`: it wants another turn. `absorb(name, record, out)`: the store is ahead of its reports.

    `wall_ms`, `index`, `stale`: the moment, set before each call.
    """

    def __init__(
        self,
        source: Source,
        grants: GrantIndex,
        wide: WideGrants,
        frames: SecretFrames,
        queue_limit: int,
        again: Callable[[Subscriber], None],
        absorb: Callable[[str, Record, list[Action]], object],
    ) -> None:
        self._source = source
        self._grants = grants
        self._wide = wide
        self._frames = frames
        self._queue_limit = queue_limit
        self._again = again
        self._absorb = absorb
        self._sync: tuple[m.Sync, bytes] | None = None
        self.wall_ms = 0
        self.index = 0
        self.stale = False
        self.counters: dict[str, int] = dict.fromkeys(
            ("secrets_sent", "gone_sent", "denied_sent", "syncs_sent", "passes_full", "blocked", "ahead"), 0
        )

    def advance(self, subscriber: Subscriber, budget: int, out: list[Action]) -> int:
        """Carries this subscriber's passes on until nothing is left, there is no room, or the budget is used up."""
        used = 1
        while self._begin(subscriber):
            assert subscriber.names is not None
            while subscriber.names:
                cost = self._offer(subscriber, subscriber.names[-1], out)
                if not cost:
                    return used + self._block(subscriber)
                subscriber.names.pop()
                used += cost
                if used >= budget:
                    self._again(subscriber)
                    return used
            if subscriber.full or subscriber.said:
                self._commit(subscriber, out)
                used += SEND_COST
            subscriber.names = None
            if subscriber.queued > self._queue_limit:
                return used + self._block(subscriber)
        if subscriber.told_stale != self.stale:
            subscriber.told_stale = self.stale
            self._send(subscriber, m.pack(m.Stale(self.stale)), out)
            used += SEND_COST
        return used

    def _block(self, subscriber: Subscriber) -> int:
        """Nothing more for this one until its shell has drained; what changes meanwhile is noted by name only."""
        subscriber.blocked = True
        self.counters["blocked"] += 1
        return 1

    def _begin(self, subscriber: Subscriber) -> bool:
        """Whether there is a pass under way, having begun the next one if need be."""
        if subscriber.names is not None:
            return True
        if subscriber.pending_full:
            subscriber.names = self._everything(subscriber)
            self.counters["passes_full"] += 1
        elif subscriber.pending:
            subscriber.names = sorted(subscriber.pending, reverse=True)
        else:
            return False
        subscriber.full, subscriber.said = subscriber.pending_full, False
        subscriber.pending, subscriber.pending_full = None, False
        return True

    def _everything(self, subscriber: Subscriber) -> list[str]:
        """All names that may concern a subscriber; the ones it holds come last, hence are looked at first, so that
        removals are said and room is made before anything new."""
        held = subscriber.held
        named = subscriber.want or self._grants.names(subscriber.namespace, subscriber.serviceaccount)
        subscriber.overflow = False
        new = named - held.keys()
        # More than twice what it may hold is a mistake in the grants: which ones it gets is not worth a long sort.
        ordered = sorted(new, reverse=True) if len(new) <= 2 * names.MAX_SECRETS else list(new)
        return ordered + sorted(held, reverse=True)

    # -- what is said ----------------------------------------------------------------------------------------------

    def _offer(self, subscriber: Subscriber, name: str, out: list[Action]) -> int:
        """Compares one name with what the subscriber holds, and says the difference. Returns the cost, 0: no room."""
        record = self._source.get(name)
        if record is not None and self._grants.grants(name) is not record.grants:
            self._absorb(name, record, out)  # the store is ahead of what it has reported
        code = self._judge(subscriber, name, record)
        if code or record is None:
            return self._withhold(subscriber, name, code, out)
        held = subscriber.held.get(name, 0)
        if held >= record.version:
            self.counters["ahead"] += held > record.version
            return 1
        if not held and len(subscriber.held) >= names.MAX_SECRETS:
            return self._overflow(subscriber, name, out)
        frame, trouble = self._frames.get(record, self.wall_ms)
        if trouble:
            out.append(Unopened(name, record.version, trouble))
        if frame is None:
            return self._deny(subscriber, name, codes.SEALED, out)
        if subscriber.queued and subscriber.queued + len(frame) > self._queue_limit:
            return 0
        subscriber.held[record.name] = record.version
        if subscriber.denied is not None:
            subscriber.denied.pop(name, None)
        self.counters["secrets_sent"] += 1
        self._send(subscriber, frame, out)
        return SEND_COST + len(frame) // BYTES_PER_UNIT

    def _judge(self, subscriber: Subscriber, name: str, record: Record | None) -> str:
        if subscriber.want and name not in subscriber.want:
            return codes.NOT_FOUND  # it has what it no longer asks for: not part of the set it named
        wide = None if record is None else self._wide.of(name, record.grants)
        return policy.entitled(record, subscriber.namespace, subscriber.serviceaccount, self.wall_ms, wide)[1]

    def _withhold(self, subscriber: Subscriber, name: str, code: str, out: list[Action]) -> int:
        """It may not have this now: GONE if it has it, DENIED if it asked for it by name, silence otherwise."""
        had = subscriber.held.pop(name, None) is not None
        wanted = name in subscriber.want
        if not had and wanted:
            return self._deny(subscriber, name, code, out)
        if wanted:
            subscriber.denied = {} if subscriber.denied is None else subscriber.denied
            subscriber.denied[name] = code
        elif subscriber.denied:
            subscriber.denied.pop(name, None)
        if not had:
            return 1
        if subscriber.overflow:
            subscriber.pending_full = True  # there is room for one that had to stay out
        self.counters["gone_sent"] += 1
        self._send(subscriber, m.pack(m.Gone(name, code)), out)
        if code == codes.NOT_GRANTED:
            out.append(Withheld(subscriber.id, name, code))
        return SEND_COST

    def _deny(self, subscriber: Subscriber, name: str, code: str, out: list[Action]) -> int:
        """Says why not, once a code."""
        if subscriber.denied is None:
            subscriber.denied = {}
        if subscriber.denied.get(name) == code:
            return 1
        subscriber.denied[name] = code
        self.counters["denied_sent"] += 1
        self._send(subscriber, m.pack(m.Denied(name, code, f"{name}: {_WHY[code]}")), out)
        out.append(Withheld(subscriber.id, name, code))
        return SEND_COST

    def _overflow(self, subscriber: Subscriber, name: str, out: list[Action]) -> int:
        """One too many: said for the first that stays out, not for 100 000."""
        if subscriber.overflow:
            return 1
        subscriber.overflow = True
        return self._deny(subscriber, name, codes.TOO_LARGE, out)

    def _commit(self, subscriber: Subscriber, out: list[Action]) -> None:
        sync = m.Sync(self.index, self.stale, subscriber.full)
        if self._sync is None or self._sync[0] != sync:
            self._sync = (sync, m.pack(sync))
        subscriber.told_stale = self.stale
        subscriber.said = False
        self.counters["syncs_sent"] += 1
        self._send(subscriber, self._sync[1], out)

    def _send(self, subscriber: Subscriber, frame: bytes, out: list[Action]) -> None:
        subscriber.said = True
        subscriber.queued += len(frame)
        out.append(Send(subscriber.id, frame))
