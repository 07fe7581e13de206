"""The hub: (subscriptions, store changes, time) -> frames. Pure; the server around it owns sockets and the clock.

Why it exists: what each sidecar must be told, in which order and how much at once, has to hold for every interleaving
of changes, connections and slow readers, so it is one state machine which a test can drive through all of them.

Events (`subscribe`, `changed`, `tick`, `drained`, ...) only note what has to be looked at. `work` then looks, a bounded
amount at a time, and returns what to do: so that one change for 10 000 sidecars never holds up the loop which Raft's
heartbeats share, and several changes before a sidecar's turn become one SYNC.

The invariant that makes it simple: nothing is decided from remembered changes. A pass over a subscriber compares what
it holds with the store and the policy of this moment, name by name, and sends the difference. A new subscriber, a
resumed one, a change, an expiry and a slow reader that has caught up are all the same pass over more or fewer names.

What it refuses to do: send a secret that is not granted at that moment, send an older version than was sent before,
let one unreadable value or one slow reader hold up anybody else, or buffer for a slow reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from node.delivery import policy
from node.delivery.frames import SecretFrames
from node.delivery.grants import GrantIndex, Many, WideGrants
from node.delivery.moments import Moments
from node.delivery.passes import QUEUE_LIMIT, Passes
from node.delivery.ports import Change, Opener, Record, Source
from node.delivery.receipts import Departed, Receipt
from node.delivery.subscriber import Action, Close, Subscriber, Subscription
from sidecar.wire import messages as m

CACHE_LIMIT: Final = 16 << 20
"""Bytes of encoded secrets kept for sharing: the ones of one roll-out, not the store in plaintext."""
MAX_PENDING: Final = 256
"""Names noted for one subscriber before "look at everything" is both smaller and about as fast."""
PAGE: Final = 1000


class Hub:
    """See the module docstring. Times are ms since the epoch; subscribers are known by the number `subscribe` gave."""

    def __init__(
        self,
        source: Source,
        opener: Opener,
        node: str,
        *,
        queue_limit: int = QUEUE_LIMIT,
        cache_limit: int = CACHE_LIMIT,
    ) -> None:
        self._source = source
        self._node = node
        self._queue_limit = queue_limit
        self._grants = GrantIndex()
        self._wide = WideGrants()
        self._moments = Moments()
        self._frames = SecretFrames(opener, cache_limit)
        self._subscribers: dict[int, Subscriber] = {}
        self._by_key: dict[tuple[str, str, str, str], int] = {}
        self._by_grant: Many[int] = Many()  # those who want everything granted, by the grants that name them
        self._by_want: Many[int] = Many()  # the others, by what they want
        self._ready: deque[Subscriber] = deque()
        self._changed: dict[str, None] = {}  # noted, for the next round
        self._round: deque[str] = deque()  # being absorbed
        self._rounds = 0
        self._turns = 0  # subscribers left to be served before the next round
        self._departed = Departed()
        self._last = 0
        self._passes = Passes(source, self._grants, self._wide, self._frames, queue_limit, self._enqueue, self._absorb)
        self.counters = self._passes.counters

    # -- what others may ask ---------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether `work` has something to do."""
        return bool(self._ready or self._changed or self._round)

    @property
    def index(self) -> int:
        """The log index up to which this node has applied: what a WELCOME and the next SYNC name."""
        self._passes.index = max(self._passes.index, self._source.index)
        return self._passes.index

    @property
    def stale(self) -> bool:
        return self._passes.stale

    def __len__(self) -> int:
        """Open subscriptions."""
        return len(self._subscribers)

    def receipts(self) -> list[Receipt]:
        """One of every sidecar connected here, then of those that left within the last ten minutes."""
        return list(self.receipts_of(self.subscribers())) + self._departed.all()

    def subscribers(self) -> list[int]:
        """The numbers of the open subscriptions."""
        return list(self._subscribers)

    def departed(self) -> list[Receipt]:
        """Receipts of those that left within the last ten minutes."""
        return self._departed.all()

    def receipts_of(self, numbers: Iterable[int]) -> Iterator[Receipt]:
        """The receipts of those that are still subscribed."""
        for number in numbers:
            if (subscriber := self._subscribers.get(number)) is not None:
                yield subscriber.receipt(self._node)

    def granted(self, namespace: str, serviceaccount: str) -> set[str]:
        """Names of the secrets with a grant that names this workload, valid now or not."""
        return self._grants.names(namespace, serviceaccount)

    def sealed(self) -> tuple[str, ...]:
        """Names whose value this node could not open when it last tried."""
        return self._frames.sealed()

    # -- events ----------------------------------------------------------------------------------------------------

    def subscribe(self, asked: Subscription, wall_ms: int) -> tuple[int, list[Action]]:
        """A new stream, already welcomed. Returns its number and the Close of a stream it takes the place of."""
        self.collect()
        self._last += 1
        subscriber = Subscriber(self._last, asked, self._own(asked.have), wall_ms, self._passes.stale)
        subscriber.round = self._rounds
        actions: list[Action] = []
        former = self._by_key.get(subscriber.key)
        if former is not None:  # the process dialled again before its old stream was seen to be dead
            self.unsubscribe(former, wall_ms)
            actions.append(Close(former, "the same sidecar opened another stream"))
        self._departed.forget(asked.namespace, asked.serviceaccount, asked.pod)
        self._subscribers[subscriber.id] = subscriber
        self._by_key[subscriber.key] = subscriber.id
        index, words = self._followed(subscriber)
        for word in words:
            index.add(word, subscriber.id)
        self._enqueue(subscriber)
        return subscriber.id, actions

    def turned_away(self, asked: Subscription, index: int, code: str, wall_ms: int) -> None:
        """One that was refused for what it has, and says so in its HELLO: seen for a while as if it had left."""
        refused = Subscriber(0, asked, self._own(asked.have), wall_ms, self._passes.stale)
        refused.index, refused.error = index, code
        self._departed.put(refused.receipt(self._node), wall_ms)

    def unsubscribe(self, number: int, wall_ms: int, left: bool = False) -> None:
        """The stream is over; `left`: by a goodbye of the sidecar. A number that is not subscribed is ignored."""
        subscriber = self._subscribers.pop(number, None)
        if subscriber is None:
            return
        if self._by_key.get(subscriber.key) == number:
            del self._by_key[subscriber.key]
        index, words = self._followed(subscriber)
        for word in words:
            index.remove(word, number)
        self._departed.put(subscriber.receipt(self._node), wall_ms, left)

    def rebuild(self, after: str = "") -> str:
        """Notes a page of the store's secrets as changed; at the first one also every name known. Returns what to call
        it with for the next page, "" after the last. Once at the start is enough, and at any time harmless."""
        if not after:
            self._changed.update(dict.fromkeys(self._grants))
        page = self._source.list(after=after, limit=PAGE)
        self._changed.update((record.name, None) for record in page)
        return page[-1].name if page else ""

    def changed(self, changes: Iterable[Change]) -> None:
        """What the store reports as changed."""
        self._changed.update((change.name, None) for change in changes)

    def collect(self) -> None:
        """Takes the changes from the store itself."""
        self.changed(self._source.drain_changes())

    def tick(self, wall_ms: int) -> None:
        """At least once a second: validity windows, values to be tried again, receipts and plaintext that aged."""
        for name in self._moments.due(wall_ms):
            self._changed[name] = None
        for name in self._frames.tick(wall_ms):
            self._changed[name] = None
        self._departed.expire(wall_ms)

    def drained(self, number: int, left: int) -> None:
        """The shell says how many bytes of this subscriber it has not handed to the network yet."""
        subscriber = self._subscribers.get(number)
        if subscriber is None:
            return
        subscriber.queued = left
        if subscriber.blocked and left <= self._queue_limit // 2:
            subscriber.blocked = False
            self._enqueue(subscriber)

    def set_stale(self, stale: bool) -> None:
        """Whether this node has lost touch with the majority."""
        if stale != self._passes.stale:
            self._passes.stale = stale
            for subscriber in self._subscribers.values():
                self._enqueue(subscriber)

    def receipt(self, number: int, receipt: m.Receipt, wall_ms: int) -> None:
        """What a sidecar says it has in place. Names it was never given are left out."""
        subscriber = self._subscribers.get(number)
        if subscriber is not None:
            held, known = subscriber.held, subscriber.placed
            placed = {name: version for name, version in receipt.placed.items() if name in held or name in known}
            subscriber.placed = self._own(placed)
            subscriber.index, subscriber.error = receipt.index, receipt.error
            subscriber.report, subscriber.at_ms = receipt.report, wall_ms

    def work(self, wall_ms: int, applied: int = 0, budget: int = 512) -> list[Action]:
        """Does at most about `budget` units of what is noted; call again while `busy`.

        `applied`: log index this node has applied, if it may be past the store's own. Every frame belongs at the end
        of its stream, in the order returned.
        """
        self._passes.wall_ms = wall_ms
        self._passes.index = max(self._passes.index, applied, self._source.index)
        out: list[Action] = []
        left = budget
        if not self._turns:
            left = self._absorb_round(left, out)
            if self._round:
                return out
            self._turns = len(self._ready)
        while self._turns and left > 0:
            self._turns -= 1
            subscriber = self._ready.popleft()
            subscriber.ready = False
            if subscriber.id not in self._subscribers:
                continue
            if subscriber.names is None and self._changed and subscriber.round >= self._rounds:
                self._enqueue(subscriber)  # its first set has to hold what was noted before it came
                continue
            left -= self._passes.advance(subscriber, left, out)
        return out

    def _absorb_round(self, left: int, out: list[Action]) -> int:
        """Rounds and subscribers take turns: changes noted together become one SYNC, and neither starves the other."""
        if not self._round and self._changed:
            self._round, self._changed = deque(self._changed), {}
            self._rounds += 1
        while self._round and left > 0:
            name = self._round.popleft()
            left -= 1 + self._absorb(name, self._source.get(name), out) // 4
        return left

    # -- what has to be looked at ----------------------------------------------------------------------------------

    def _own(self, versions: Mapping[str, int]) -> dict[str, int]:
        """The same, keyed by the store's strings instead of one more copy of each name for every sidecar."""
        records = ((name, self._source.get(name), version) for name, version in versions.items())
        return {name if record is None else record.name: version for name, record, version in records}

    def _followed(self, subscriber: Subscriber) -> tuple[Many[int], Iterable[str]]:
        if subscriber.want:
            return self._by_want, subscriber.want
        return self._by_grant, set(policy.patterns(subscriber.namespace, subscriber.serviceaccount))

    def _enqueue(self, subscriber: Subscriber) -> None:
        if not subscriber.ready and not subscriber.blocked:
            subscriber.ready = True
            self._ready.append(subscriber)

    def _absorb(self, name: str, record: Record | None, out: list[Action]) -> int:
        """A secret is not what it was, or not at this time: whom that may concern looks at it. Returns how many."""
        self._frames.changed(name, record)
        self._wide.drop(name)
        old = self._grants.grants(name)
        new = record.grants if record is not None else ()
        self._grants.put(name, new)
        windowed = record is not None and not (record.not_before_ms is None and record.expires_ms is None)
        self._moments.put(name, policy.next_change_ms(record, self._passes.wall_ms), windowed)
        concerned = self._by_grant.of({*old, *new}) | self._by_want.of((name,))
        for number in concerned:
            subscriber = self._subscribers[number]
            if not subscriber.pending_full:
                if subscriber.pending is None:
                    subscriber.pending = {name}
                elif len(subscriber.pending) < MAX_PENDING:
                    subscriber.pending.add(name)
                else:
                    subscriber.pending, subscriber.pending_full = None, True
            self._enqueue(subscriber)
        return len(concerned)
