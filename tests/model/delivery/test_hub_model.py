"""The hub against a model of what each sidecar should hold, over random histories.

The sidecar here is written from the description of the wire: it takes frames from a queue that may be slow, applies a
batch at its SYNC, forgets what was not committed when its stream ends, and resumes with what it holds. Checked at every
single frame: it was allowed to be sent at that moment, by a second, naive reading of the rules; versions and indices
only grow. Checked whenever all is quiet: every sidecar holds exactly what it should.
"""

from __future__ import annotations

import dataclasses
import os
import random

import msgpack
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from node.delivery.hub import Hub
from node.delivery.subscriber import Close, Send, Subscription
from sidecar.wire import messages as m
from sidecar.wire.protocol import ClientProtocol

NAMES = tuple(f"{namespace}/{name}" for namespace in ("a", "b") for name in ("k", "l"))
IDENTITIES = (("a", "x"), ("a", "y"), ("b", "x"))
GRANTS = ("a/x", "a/x", "a/y", "b/x", "a/*", "*/x", "*/*", "*x/*")
QUEUE_LIMIT = 600


@dataclasses.dataclass(frozen=True)
class Record:
    name: str
    version: int = 0
    index: int = 0
    deleted: bool = False
    not_before_ms: int | None = None
    expires_ms: int | None = None
    grants: tuple[str, ...] = ()
    generation: int = 1
    write_id: bytes = b""
    sealed: bytes = b""


def naive_code(record: Record | None, identity: tuple[str, str], now: int) -> str:
    if record is None:
        return "not_found"
    for grant in record.grants:
        parts = grant.split("/")
        if len(parts) == 2 and all(part in ("*", own) for part, own in zip(parts, identity, strict=True)):
            break
    else:
        return "not_granted"
    if record.deleted:
        return "deleted"
    if record.not_before_ms is not None and record.not_before_ms > now:
        return "not_yet_valid"
    if record.expires_ms is not None and record.expires_ms <= now:
        return "expired"
    return ""


class Store:
    def __init__(self) -> None:
        self.index = 0
        self.records: dict[str, Record] = {}
        self.highest: dict[str, int] = {}
        self.changes: list[Record] = []
        self.broken: set[tuple[str, int]] = set()

    def get(self, name: str) -> Record | None:
        return self.records.get(name)

    def list(self, namespace=None, prefix="", after="", limit=100):
        return [self.records[name] for name in sorted(self.records) if name > after][:limit]

    def drain_changes(self):
        taken, self.changes = self.changes, []
        return taken

    def open_value(self, name: str, generation: int, write_id: bytes, sealed: bytes) -> dict[str, bytes]:
        fields = msgpack.unpackb(sealed)
        if (name, int(fields["value"][:8])) in self.broken:
            raise KeyError(generation)
        return fields

    def change(self, name: str, **changes: object) -> None:
        self.index += 1
        record = dataclasses.replace(self.records.get(name, Record(name)), index=self.index, **changes)
        self.records[name] = record
        self.changes.append(record)

    def put(self, name: str, size: int, **changes: object) -> None:
        version = self.highest.get(name, 0) + 1
        self.highest[name] = version
        value = b"%08d" % version + b"." * size
        self.change(name, version=version, sealed=msgpack.packb({"value": value}), deleted=False, **changes)

    def purge(self, name: str) -> None:
        self.index += 1
        record = self.records.pop(name, None)
        if record is not None:
            self.changes.append(record)


class Sidecar:
    """One process: survives its streams."""

    def __init__(self, identity: tuple[str, str], want: frozenset[str], number: int) -> None:
        self.identity = identity
        self.want = want
        self.pod = f"pod-{number}"
        self.held: dict[str, int] = {}
        self.floors: dict[str, int] = {}
        self.index = 0
        self.denied: dict[str, str] = {}
        self.complete = False
        self.subscriber = 0
        self.slow = False

    def connect(self, hub: Hub, store: Store, now: int) -> list:
        self.store = store
        self.due = {
            name: record
            for name, record in store.records.items()
            if record.not_before_ms is None and record.expires_ms is None
            if not naive_code(record, self.identity, now) and (not self.want or name in self.want)
        }
        self.protocol = ClientProtocol()
        self.protocol.send_hello(m.Hello((1,), "t", self.pod, "i", ""))
        self.protocol.receive_data(m.pack(m.Welcome(1, "n", hub.index, 2000, hub.stale)))
        self.network: list[bytes] = []
        self.batch: dict[str, int | None] = {}
        self.named = set(self.held)
        self.stale = hub.stale
        self.denied.clear()
        self.complete = False
        asked = Subscription(*self.identity, self.pod, "i", have=dict(self.held), want=self.want)
        self.subscriber, actions = hub.subscribe(asked, now)
        return actions

    def read(self) -> None:
        for frame in self.network:
            for message in self.protocol.receive_data(frame):  # checks the order of indices
                self.apply(message)
        self.network.clear()

    def apply(self, message: m.NodeMessage) -> None:
        match message:
            case m.Secret():
                assert message.version >= self.floors.get(message.name, 0), "a version went back"
                assert int(message.fields["value"][:8]) == message.version, "a value of another version"
                self.batch[message.name] = message.version
                self.named.add(message.name)
                self.denied.pop(message.name, None)
            case m.Gone():
                self.batch[message.name] = None
                self.denied[message.name] = message.code
                self.named.discard(message.name)
            case m.Denied():
                self.denied[message.name] = message.code
            case m.Stale():
                self.stale = message.stale
            case m.Sync():
                assert message.index >= self.index
                self.index, self.stale = message.index, message.stale
                if message.full:
                    self.complete = True
                    for name in self.held.keys() - self.named:
                        self.batch[name] = None
                for name, version in self.batch.items():
                    if version is None:
                        self.held.pop(name, None)
                    else:
                        assert version >= self.held.get(name, 0)
                        self.held[name] = self.floors[name] = version
                self.batch.clear()
                if message.full:
                    self.check_promise()

    def check_promise(self) -> None:
        """A full set holds all that was granted when it was asked for, as far as that has not changed since."""
        for name, record in self.due.items():
            if self.store.get(name) is record and name not in self.denied:
                assert self.held.get(name) == record.version, "called full, and was not"
        self.due.clear()


class Delivery(RuleBasedStateMachine):
    sidecars = Bundle("sidecars")

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.hub = Hub(self.store, self.store, "n", queue_limit=QUEUE_LIMIT, cache_limit=500)
        self.now = 1_000_000
        self.all: list[Sidecar] = []
        self.by_number: dict[int, Sidecar] = {}
        self.started = 0

    # -- the world -------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        size=st.sampled_from((0, 100, 550, 2000)),
        grants=st.none() | st.sets(st.sampled_from(GRANTS), max_size=3),
    )
    def put(self, name: str, size: int, grants: set[str] | None) -> None:
        self.store.put(name, size, **({} if grants is None else {"grants": tuple(sorted(grants))}))

    @rule(name=st.sampled_from(NAMES), grants=st.sets(st.sampled_from(GRANTS), max_size=3))
    def grant(self, name: str, grants: set[str]) -> None:
        if name in self.store.records:
            self.store.change(name, grants=tuple(sorted(grants)))

    @rule(name=st.sampled_from(NAMES), deleted=st.booleans())
    def delete(self, name: str, deleted: bool) -> None:
        if name in self.store.records:
            self.store.change(name, deleted=deleted)

    @rule(name=st.sampled_from(NAMES))
    def purge(self, name: str) -> None:
        self.store.purge(name)

    @rule(
        name=st.sampled_from(NAMES),
        opens=st.none() | st.integers(-3000, 5000),
        closes=st.none() | st.integers(-3000, 5000),
    )
    def window(self, name: str, opens: int | None, closes: int | None) -> None:
        if name in self.store.records:
            self.store.change(
                name,
                not_before_ms=None if opens is None else self.now + opens,
                expires_ms=None if closes is None else self.now + closes,
            )

    @rule(name=st.sampled_from(NAMES), broken=st.booleans())
    def key_trouble(self, name: str, broken: bool) -> None:
        record = self.store.get(name)
        if record is not None:
            (self.store.broken.add if broken else self.store.broken.discard)((name, record.version))

    @rule(ms=st.sampled_from((1, 400, 1000, 6000, -400, -20_000)))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self.hub.tick(self.now)

    @rule(stale=st.booleans())
    def quorum(self, stale: bool) -> None:
        self.hub.set_stale(stale)

    @rule()
    def rebuild(self) -> None:
        self.hub.rebuild()

    # -- the sidecars ----------------------------------------------------------------------------------------------

    @rule(
        target=sidecars,
        identity=st.sampled_from(IDENTITIES),
        want=st.just(frozenset()) | st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=4),
        slow=st.booleans(),
    )
    def start(self, identity: tuple[str, str], want: frozenset[str], slow: bool) -> Sidecar:
        self.started += 1
        sidecar = Sidecar(identity, want, self.started)
        sidecar.slow = slow
        self.all.append(sidecar)
        self.connect(sidecar)
        return sidecar

    @rule(sidecar=sidecars)
    def dial(self, sidecar: Sidecar) -> None:
        """Again: after its stream broke, or while the hub still believes in the old one."""
        self.connect(sidecar)

    @rule(sidecar=sidecars)
    def cut(self, sidecar: Sidecar) -> None:
        self.by_number.pop(sidecar.subscriber, None)
        self.hub.unsubscribe(sidecar.subscriber, self.now)
        sidecar.subscriber = 0

    @rule(sidecar=consumes(sidecars))
    def end(self, sidecar: Sidecar) -> None:
        self.cut(sidecar)
        self.all.remove(sidecar)

    @rule(sidecar=sidecars, slow=st.booleans())
    def pace(self, sidecar: Sidecar, slow: bool) -> None:
        sidecar.slow = slow

    @rule(sidecar=sidecars)
    def drain(self, sidecar: Sidecar) -> None:
        if sidecar.subscriber:
            self.deliver(sidecar)

    @rule(sidecar=sidecars)
    def restart(self, sidecar: Sidecar) -> None:
        """A new process: the files are there, nothing else."""
        sidecar.want = frozenset() if sidecar.want else frozenset(NAMES[:2])
        self.connect(sidecar)

    # -- the hub ---------------------------------------------------------------------------------------------------

    @rule(budget=st.sampled_from((1, 3, 10, 40, 512)), report=st.booleans())
    def work(self, budget: int, report: bool) -> None:
        if report:
            self.hub.collect()
        self.perform(self.hub.work(self.now, budget=budget))

    def connect(self, sidecar: Sidecar) -> None:
        former = sidecar.subscriber
        actions = sidecar.connect(self.hub, self.store, self.now)
        self.by_number[sidecar.subscriber] = sidecar
        if former:
            assert actions == [Close(former, actions[0].reason)]
            del self.by_number[former]
        self.perform([action for action in actions if not isinstance(action, Close)])

    def perform(self, actions: list) -> None:
        for action in actions:
            if isinstance(action, Send):
                sidecar = self.by_number[action.subscriber]
                sidecar.network.append(action.frame)
                self.check_sent(sidecar, action.frame)
        for sidecar in self.all:
            if sidecar.subscriber and not sidecar.slow:
                self.deliver(sidecar)

    def check_sent(self, sidecar: Sidecar, frame: bytes) -> None:
        reader = ClientProtocol()
        reader.send_hello(m.Hello((1,), "t", "p", "i", ""))
        (_, message) = reader.receive_data(m.pack(m.Welcome(1, "n", 0, 2000, False)) + frame)
        if isinstance(message, m.Secret):
            record = self.store.get(message.name)
            assert naive_code(record, sidecar.identity, self.now) == "", "sent without a right to it"
            assert message.version == record.version, "not the newest"
            assert not sidecar.want or message.name in sidecar.want
        elif isinstance(message, m.Gone) and (not sidecar.want or message.name in sidecar.want):
            assert message.code == naive_code(self.store.get(message.name), sidecar.identity, self.now)

    def deliver(self, sidecar: Sidecar) -> None:
        sidecar.read()
        self.hub.drained(sidecar.subscriber, 0)

    @invariant()
    def slow_readers_cost_a_bounded_queue(self) -> None:
        for sidecar in self.all:
            if sidecar.subscriber:
                # The queue, or one frame larger than it; and one pass of words without values.
                assert sum(map(len, sidecar.network)) <= max(QUEUE_LIMIT, 2150) + len(NAMES) * 160

    def quiet(self) -> None:
        self.hub.collect()
        self.hub.tick(self.now)
        self.now += 5001  # values that could not be opened are tried again
        self.hub.tick(self.now)
        for _ in range(2000):
            if not self.hub.busy and not any(s.network for s in self.all if s.subscriber):
                return
            self.perform(self.hub.work(self.now))
            for sidecar in self.all:
                if sidecar.subscriber:
                    self.deliver(sidecar)
        raise AssertionError("never quiet")

    @rule()
    def all_is_as_it_should_be(self) -> None:
        self.quiet()
        for sidecar in self.all:
            if sidecar.subscriber:
                self.check_held(sidecar)

    def check_held(self, sidecar: Sidecar) -> None:
        assert sidecar.complete and sidecar.stale == self.hub.stale and not sidecar.batch
        held = dict(sidecar.held)
        for name in NAMES:
            if sidecar.want and name not in sidecar.want:
                assert name not in held
                continue
            record = self.store.get(name)
            code = naive_code(record, sidecar.identity, self.now)
            if code:
                assert name not in held, (name, code)
                if name in sidecar.want and name in sidecar.denied:
                    assert sidecar.denied[name] == code
            elif (name, record.version) in self.store.broken and held.get(name) != record.version:
                assert sidecar.denied[name] == "sealed"
            else:
                assert held[name] == record.version

    def teardown(self) -> None:
        self.all_is_as_it_should_be()
        for sidecar in list(self.all):
            self.end(sidecar)
        assert len(self.hub) == 0 and not len(self.hub._by_grant) and not len(self.hub._by_want)


Delivery.TestCase.settings = settings(
    max_examples=int(os.environ.get("SAFE_MODEL_EXAMPLES", "250")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHub = Delivery.TestCase


def drive(machine: Delivery, chance: random.Random, steps: int) -> None:
    """A long history with the proportions of a busy day, which hypothesis, looking for the shortest, rarely makes."""

    def some_grants() -> set[str]:
        return set(chance.sample(GRANTS, chance.randint(0, 2)))

    def put() -> None:
        name = chance.choice(NAMES)
        machine.put(name, chance.choice((0, 100, 550, 2000)), chance.choice((None, some_grants())))
        machine.key_trouble(name, chance.random() < 0.2)

    def window() -> None:
        opens, closes = (chance.choice((None, chance.randint(-2000, 3000))) for _ in range(2))
        machine.window(chance.choice(NAMES), opens, closes)

    def start() -> None:
        if len(machine.all) < 6:
            want = frozenset(chance.sample(NAMES, chance.randint(0, 3)))
            machine.start(chance.choice(IDENTITIES), want, chance.random() < 0.3)

    def work() -> None:
        machine.work(chance.choice((1, 5, 40, 512)), chance.random() < 0.8)

    def for_one(act):
        def step() -> None:
            if machine.all:
                act(chance.choice(machine.all))

        return step

    steps_by_weight = {
        put: 20,
        lambda: machine.grant(chance.choice(NAMES), some_grants()): 10,
        lambda: machine.delete(chance.choice(NAMES), chance.random() < 0.5): 5,
        lambda: machine.purge(chance.choice(NAMES)): 1,
        window: 8,
        lambda: machine.key_trouble(chance.choice(NAMES), chance.random() < 0.4): 4,
        lambda: machine.time_passes(chance.choice((1, 400, 1000, 6000, -400, -20_000))): 10,
        lambda: machine.quorum(chance.random() < 0.5): 3,
        machine.rebuild: 1,
        start: 6,
        for_one(machine.dial): 3,
        for_one(machine.cut): 2,
        for_one(machine.end): 1,
        for_one(lambda sidecar: machine.pace(sidecar, chance.random() < 0.4)): 3,
        for_one(machine.drain): 15,
        for_one(machine.restart): 1,
        work: 40,
        machine.all_is_as_it_should_be: 8,
    }
    for step in chance.choices(list(steps_by_weight), list(steps_by_weight.values()), k=steps):
        step()
        machine.slow_readers_cost_a_bounded_queue()
    machine.teardown()


@pytest.mark.parametrize("seed", range(int(os.environ.get("SAFE_MODEL_SEEDS", "40"))))
def test_long_histories(seed: int) -> None:
    drive(Delivery(), random.Random(seed), 400)
