"""Any order of events, reconnects, failed writes and restarts: versions never go back, and nothing is removed unasked.

The oracle knows nothing of the session's insides. It sees what was said on each stream and what the session orders, and
holds each order against what was said.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.actions import Close, Dial, Exit, Place, ReadToken, Send, Wait
from sidecar.dialer import Route
from sidecar.inventory import Resume
from sidecar.session import Purpose, Session
from sidecar.settings import Node
from sidecar.wire import codes
from sidecar.wire import messages as m
from sidecar.wire.protocol import ClientProtocol, ServerProtocol

NAMES = ["a/a", "a/b", "b/c"]
NODES = tuple(Node(f"safe-{n}", 1) for n in range(3))
ROUTE = Route(NODES[0], "10.0.0.1")
name = st.sampled_from(NAMES)
chance = st.floats(0, 1)
small = st.integers(1, 6)
WORDS = st.lists(st.tuples(name, st.integers(0, 5)), max_size=5)  # 0: gone, else a version
FAILS = st.sampled_from(["", "", "", "all", "whole"])  # "whole": but not the part that only removes


class SidecarLife(RuleBasedStateMachine):
    """One pod: its files (`disk`), its session, and at most one stream at a time."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.disk = Resume()  # what a restart would find
        self.highest = {}  # highest version that was ever in the files
        self.seen_index = 0  # highest SYNC carried out
        self.stream = None  # (ClientProtocol, ServerProtocol)
        self.dialling = False
        self.wait = None
        self.exited = False
        self.fail_places = ""
        self.slow_places = False
        self.in_flight = None  # a Place whose templates are being rendered
        self.vouched = set()  # names HELLO or a SECRET named on this stream and no GONE took back
        self.spoken = {}  # name -> last word of this stream's open batch: a version, or "gone"
        self.word = {}  # name -> last committed word, on any stream

    @initialize(
        want=st.sampled_from([(), ("a/a",), ("a/a", "b/c")]), mode=st.sampled_from(["run"] * 4 + ["init"]), at=chance
    )
    def begin(self, want, mode, at):
        self.want, self.mode = want, mode
        self.fresh(at)

    def fresh(self, at):
        purpose = Purpose("pod", "i", "agent", self.want, self.mode, 1e6, 50.0)
        self.session = Session(NODES, purpose, self.disk)
        self.stream, self.dialling, self.exited = None, False, False
        self.in_flight = None
        self.run(self.session.start(self.now, at))

    # -- the shell, as a machine that checks every order it is given -------------------------------------------------

    def run(self, actions):
        assert isinstance(actions[-1], Wait | Exit) or any(isinstance(action, Exit) for action in actions)
        for action in actions:
            if self.exited:
                return
            self.do(action)

    def do(self, action):
        if isinstance(action, Wait):
            assert action.seconds is None or action.seconds >= 0
            self.wait = action.seconds
        elif isinstance(action, Dial):
            assert self.stream is None and not self.dialling, "one stream at a time"
            self.dialling = True
        elif isinstance(action, Send):
            self.send(action.message)
        elif isinstance(action, Close):
            self.stream = None
        elif isinstance(action, ReadToken):
            self.run(self.session.token(self.now, "token", 60.0))
        elif isinstance(action, Place):
            self.place(action)
        elif isinstance(action, Exit):
            assert self.mode == "init" or action.code == 0
            if action.code == 0 and self.mode == "init" and action.message != "stopped":
                assert set(self.want) <= set(self.disk.held), "init says done and is not"
            self.exited, self.stream = True, None

    def send(self, message):
        assert self.stream is not None, "written to no stream"
        client, server = self.stream
        if isinstance(message, m.Bye):
            client.send_bye()
            return
        if client.closed():
            return
        send = {
            m.Hello: client.send_hello, m.Receipt: client.send_receipt, m.Token: client.send_token,
            m.Ping: client.send_ping, m.Pong: client.send_pong,
        }[type(message)]  # fmt: skip
        server.receive_data(send(message))  # raises if the session breaks the order of the wire
        if isinstance(message, m.Hello):
            assert message.index >= self.seen_index
            assert set(message.have.items()) <= set(self.disk.held.items()), "it claims only what is in the files"
            self.vouched, self.spoken = set(message.have), {}
        if isinstance(message, m.Receipt):
            assert dict(message.placed) == dict(self.disk.held)

    def place(self, action):
        for one, change in action.changes.items():
            before = self.disk.held.get(one, 0)
            if change is None:
                assert self.word.get(one) == "gone", f"{one} would be removed without a word"
            else:
                assert change.name == one and change.version == self.word[one], "what nobody committed"
                assert change.version >= max(before, self.highest.get(one, 0)), f"{one} would go back"
                assert not self.want or one in self.want
        assert action.index >= self.disk.index
        if self.in_flight is not None:
            assert action.partial and not self.in_flight.partial, "one at a time, and only removals go before another"
            self.in_flight = None
        if self.slow_places:
            self.in_flight = action
        else:
            self.carry_out(action)

    def carry_out(self, action):
        assert action.index >= self.disk.index
        if self.fail_places == "all" or (self.fail_places == "whole" and not action.partial):
            self.run(self.session.place_failed(self.now, 1, action, codes.NO_SPACE))
            gone = {one for one, change in action.changes.items() if change is None}
            if self.fail_places == "whole" and self.in_flight is None and not self.exited:
                assert not gone & self.disk.held.keys(), "what was taken away is still in the pod"
            return
        if action.partial:
            assert None in action.changes.values() and not any(action.changes.values()), "more than what is to go"
            assert action.index == self.disk.index or not self.disk.index, "it claims a SYNC that is not in place"
        for one, change in action.changes.items():
            assert change is None or change.version >= self.highest.get(one, 0), f"{one} would go back"
        held = {**self.disk.held}
        for one, change in action.changes.items():
            held.pop(one, None)
            if change is not None:
                held[one] = change.version
                self.highest[one] = change.version
        if action.changes or action.complete != self.disk.complete:  # else the files do not swap, and keep their index
            self.disk = Resume(held, dict(action.floors), action.index, action.complete)
        self.run(self.session.placed(self.now, 1, action))

    # -- the world ---------------------------------------------------------------------------------------------------

    def alive(self):
        return not self.exited

    def open(self):
        return self.alive() and self.stream is not None and self.stream[0].state.value == "greeted"

    def tell(self, message, at):
        """The node says this, if the wire lets it; the oracle takes note before the session may act."""
        client, server = self.stream
        send = {
            m.Secret: server.send_secret, m.Gone: server.send_gone, m.Sync: server.send_sync,
            m.Stale: server.send_stale, m.Denied: server.send_denied, m.Goaway: server.send_goaway,
            m.Ping: server.send_ping, m.Pong: server.send_pong, m.Refused: server.send_refused,
            m.Welcome: server.send_welcome,
        }[type(message)]  # fmt: skip
        if server.closed():
            return
        [heard] = client.receive_data(send(message))
        self.session.heard(self.now)
        self.note(heard)
        self.run(self.session.received(self.now, at, heard))

    def note(self, message):
        if isinstance(message, m.Secret):
            self.vouched.add(message.name)
            self.spoken.setdefault(message.name, []).append(message.version)
        elif isinstance(message, m.Gone):
            self.vouched.discard(message.name)
            self.spoken.setdefault(message.name, []).append("gone")
        elif isinstance(message, m.Sync) and message.index >= self.session.index:
            self.commit(message)

    def commit(self, sync):
        """What the words of a batch come to: of versions the highest since the last removal, if it is no step back."""
        self.seen_index = max(self.seen_index, sync.index)
        for one, words in self.spoken.items():
            if self.want and one not in self.want:
                continue
            current = self.word.get(one, self.disk.held.get(one, "gone"))
            floor = max(self.highest_word(one), self.disk.floors.get(one, 0))
            for word in words:
                if word == "gone":
                    current = "gone"
                elif word >= floor and (current == "gone" or word > current):
                    current = word
            self.word[one] = current
            if current != "gone":
                self.committed[one] = max(current, self.committed.get(one, 0))
        if sync.full:
            for one in (self.disk.held.keys() | self.word.keys()) - self.vouched:
                if self.spoken.get(one) is None:
                    self.word[one] = "gone"
        self.spoken = {}

    committed: dict

    def highest_word(self, one):
        return max(self.committed.get(one, 0), self.highest.get(one, 0))

    @initialize()
    def nothing_committed(self):
        self.committed = {}

    @precondition(lambda self: self.alive() and self.dialling)
    @rule(at=chance, offset=st.sampled_from([-2, -1, 0, 0, 1, 3]), stale=st.booleans())
    def welcomed(self, at, offset, stale):
        index = max(0, self.session.index + offset)
        behind = index < self.seen_index
        self.connect()
        self.tell(m.Welcome(1, "n", index, 1000, stale), at)
        assert not behind or self.stream is None, "it stays with a node that knows less than it does"

    @precondition(lambda self: self.alive() and self.dialling)
    @rule(at=chance, retry=st.sampled_from([None, 0, 100]))
    def not_welcomed(self, at, retry):
        self.connect()
        if retry is not None:
            self.tell(m.Refused("unavailable", "no", "", retry), at)

    @precondition(lambda self: self.alive() and self.dialling)
    @rule(at=chance)
    def unreachable(self, at):
        self.dialling = False
        self.run(self.session.failed(self.now, at, "refused"))

    def connect(self):
        self.dialling = False
        self.stream = (ClientProtocol(), ServerProtocol())
        self.run(self.session.connected(self.now, ROUTE, "token", 60.0))

    @precondition(lambda self: self.open())
    @rule(words=WORDS, at=chance)
    def unfinished_batch(self, words, at):
        for one, word in words:
            if self.open():
                self.tell(m.Gone(one, "deleted") if word == 0 else m.Secret(one, word, 0, {"value": b"x"}), at)

    @precondition(lambda self: self.open())
    @rule(words=WORDS, step=st.sampled_from([-2, 0, 1, 1, 2]), full=st.booleans(), at=chance, fails=FAILS)
    def batch(self, words, step, full, at, fails):
        self.fail_places = fails
        self.unfinished_batch(words, at)
        if self.open():
            self.tell(m.Sync(max(self.session.index + step, self.stream[1]._order._index), False, full), at)

    @precondition(lambda self: self.open())
    @rule(at=chance)
    def refused_later(self, at):
        self.tell(m.Refused("unavailable", "no", "", 100), at)

    @precondition(lambda self: self.open())
    @rule(
        at=chance,
        message=st.one_of(
            st.builds(m.Stale, st.booleans()),
            st.builds(m.Denied, name, st.just("not_granted"), st.just("no")),
            st.builds(m.Ping, small),
            st.builds(m.Pong, small),
            st.just(m.Goaway("stop", 5)),
        ),
    )
    def anything_else(self, message, at):
        self.tell(message, at)

    @rule(slow=st.booleans())
    def rendering(self, slow):
        """Whether placing takes its time from now on."""
        self.slow_places = slow

    @precondition(lambda self: self.alive() and self.in_flight is not None)
    @rule(fails=FAILS)
    def rendered(self, fails):
        """The one under way ends."""
        self.fail_places = fails
        action, self.in_flight = self.in_flight, None
        self.carry_out(action)

    @precondition(lambda self: self.alive() and self.stream is not None)
    @rule(at=chance)
    def lost(self, at):
        self.stream = None
        self.run(self.session.lost(self.now, at, "reset"))

    @precondition(lambda self: self.alive())
    @rule(at=chance, seconds=st.sampled_from([0.0, 0.01, 0.5, 1.2, 6.0, 100.0]), fails=FAILS)
    def time(self, at, seconds, fails):
        self.fail_places = fails
        self.now += seconds
        self.run(self.session.woken(self.now, at))
        whole = self.in_flight is not None and not self.in_flight.partial
        if self.alive() and whole and seconds >= 0.5 and not self.session.status(self.now)["error"]:
            gone = {one for one in self.disk.held if self.word.get(one) == "gone"}
            assert not gone, "what was taken away waits for somebody's template"

    @rule(at=chance)
    def restart(self, at):
        """The process is killed and starts again on its files; what was not placed is forgotten by everybody."""
        self.now += 1.0
        self.word = dict(self.disk.held)
        self.committed = dict(self.highest)
        self.seen_index = self.disk.index
        self.fresh(at)

    @invariant()
    def nothing_below_what_was_there(self):
        for one, version in self.disk.held.items():
            assert version == self.highest[one]

    @invariant()
    def it_never_waits_for_nothing(self):
        if not self.exited and self.stream is None and not self.dialling:
            assert self.wait is not None, "no stream, no dial, and nothing to wake up for"

    def teardown(self):
        """Left alone with time, it dials again, whatever happened before."""
        if not hasattr(self, "session") or self.exited:
            return
        self.fail_places = ""
        for _ in range(200):
            if self.exited or self.dialling:
                return
            assert self.wait is not None
            self.now += self.wait + 0.001
            self.run(self.session.woken(self.now, 0.5))
        raise AssertionError("it never dialled again")


SidecarLife.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestSidecarLife = SidecarLife.TestCase
