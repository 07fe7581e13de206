"""The classic cases, to be read like a story: cores wired by hand, every message seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from node.raft import codec
from node.raft.core import Core
from node.raft.log import Log
from node.raft.ports import SnapshotMeta, Timing
from node.raft.steward import next_step


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def uniform(self, low: float, high: float) -> float:
        return high


class NoSnapshots:
    def latest(self) -> SnapshotMeta | None:
        return None

    def read(self, meta: SnapshotMeta, offset: int, size: int) -> bytes:
        return b""

    def receive(self, meta: SnapshotMeta, offset: int, data: bytes) -> int:
        return 0


class Machine:
    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, index: int, command: bytes) -> bytes:
        self.applied.append(command)
        return b""

    def capture(self) -> Iterable[bytes]:
        return []

    def load(self, chunks: Iterable[bytes]) -> Any: ...
    def adopt(self, state: Any) -> None: ...


class Stage:
    """Cores a, b, c, ... with instant disks. Nothing moves but what a scene moves: `stand`, `talk`, `propose`."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.members = [f"{letter}.1" for letter in "abcde"[:count]]
        self.post: list[tuple[str, str, dict[str, Any]]] = []
        self.cores: dict[str, Core] = {}
        for member in self.members:
            self.cores[member] = self.make(member)
            self.cores[member].bootstrap(tuple(self.members))
        for member in self.members:
            self.meet(member)
            self.settle(member)

    def make(self, member: str) -> Core:
        return Core(member, Log(), Machine(), NoSnapshots(), self.clock, Timing(election_min=1000, election_max=2000))

    def __getitem__(self, letter: str) -> Core:
        return next(core for member, core in self.cores.items() if member[0] == letter)

    def meet(self, member: str) -> None:
        for other in self.cores:
            if other != member:
                self.cores[member].peer_connected(other)
                self.cores[other].peer_connected(member)

    def settle(self, member: str) -> None:
        core = self.cores[member]
        for _ in range(4):
            core.tick()
            ready = core.take_ready(disk_free=True)
            self.post += [(member, to, message) for to, message in ready.messages]
            if ready.ops:
                core.durable(ready.lsn)

    def talk(self, *letters: str) -> None:
        """Deliver what these say to each other until they have nothing more to say; the rest is lost."""
        among = {member for member in self.cores if member[0] in letters}
        for _ in range(30):
            self.clock.time += 0.06
            for member in sorted(among):
                self.settle(member)
            post, self.post = self.post, []
            for sender, to, message in post:
                if sender in among and to in among:
                    self.cores[to].receive(sender, codec.unpack(codec.pack(message)))

    def stand(self, letter: str, *voters: str) -> None:
        """letter stands for election and only these hear of it."""
        core = self[letter]
        core.stand(transfer=True)
        among = {letter, *voters}
        for _ in range(3):
            for each in sorted(among):
                self.settle(f"{each}.1")
            post, self.post = self.post, []
            for sender, to, message in post:
                if sender[0] in among and to[0] in among and "vote" in message["type"]:
                    self.cores[to].receive(sender, message)
        assert core.leading, f"{letter} was not elected"

    def propose(self, letter: str, command: bytes) -> int:
        core = self[letter]
        core.propose(command, None)
        self.settle(core.member)
        return core.log.last_index

    def log(self, letter: str) -> list[tuple[int, bytes]]:
        """(term, command) of the client's entries."""
        return [(term, data[1:]) for data, _, term in self[letter].log.entries if data[:1] == b"\0" and data]


def test_figure_8_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """a leads and reaches only b with x; e leads without x and reaches nobody; a leads again and copies x to c: x is
    on a majority now, yet not committed, because e could still be elected and overwrite it."""
    stage = Stage(5)
    stage.stand("a", "b", "c")
    stage.talk("a", "b", "c", "d", "e")
    index = stage.propose("a", b"x")
    stage.talk("a", "b")
    assert stage.log("b")[-1][1] == b"x"

    stage.stand("e", "c", "d")  # e never saw x
    stage.propose("e", b"y")
    stage.post.clear()

    stage["a"].become_follower(stage["e"].term)
    stage.stand("a", "b", "c")
    # Only the old entry reaches c: its message ends before a's own first entry.
    stage.post.clear()
    leader, c = stage["a"], stage["c"]
    progress = leader.progress["c.1"]
    previous = index - 1
    while c.log.term_at(previous) != leader.log.term_at(previous):
        previous -= 1
    message, _, _ = leader._append_message(previous + 1)
    message["entries"] = [entry for entry in message["entries"] if entry[1] <= index]
    c.receive("a.1", message)
    stage.settle("c.1")
    for sender, to, answer in stage.post:
        if (sender, to) == ("c.1", "a.1"):
            leader.receive(sender, answer)
    stage.post.clear()
    assert progress.match == index and leader.progress["b.1"].match <= index
    leader.progress["b.1"].match = index  # b holds it since the first reign
    leader.advance_commit()
    assert leader.commit_index < index, "an old term's entry was committed by counting copies"

    # Once an entry of its own term is on a majority, x is committed with it.
    stage.talk("a", "b", "c")
    assert leader.commit_index > index
    assert stage["b"].machine.applied == [b"x"]


def test_a_returning_leader_gives_up_what_it_could_not_commit() -> None:
    stage = Stage(3)
    stage.stand("a", "b")
    stage.talk("a", "b", "c")
    stage.propose("a", b"kept")
    stage.talk("a", "b", "c")
    for ghost in (b"ghost-1", b"ghost-2", b"ghost-3"):
        stage.propose("a", ghost)  # cut off: nobody hears
    stage.post.clear()

    stage.stand("b", "c")
    stage.propose("b", b"new")
    stage.talk("b", "c")
    assert stage["b"].machine.applied == [b"kept", b"new"]

    stage.talk("a", "b", "c")
    assert not stage["a"].leading and stage["a"].leader == "b.1"
    assert stage["a"].machine.applied == [b"kept", b"new"]
    assert stage.log("a") == stage.log("b")


def test_a_stale_leaders_words_are_answered_with_the_newer_term() -> None:
    stage = Stage(3)
    stage.stand("a", "b")
    stage.talk("a", "b", "c")
    stage.stand("b", "c")
    stage.post.clear()
    stage.clock.time += 0.06
    stage.settle("a.1")
    heard = [message for sender, to, message in stage.post if (sender, to) == ("a.1", "c.1")]
    stage.post.clear()
    stage["c"].receive("a.1", heard[0])
    stage.settle("c.1")
    (answer,) = [message for sender, to, message in stage.post if (sender, to) == ("c.1", "a.1")]
    assert answer == {"type": "newer_term", "term": stage["b"].term}
    stage["a"].receive("c.1", answer)
    assert not stage["a"].leading


def test_an_empty_node_rejoins_as_a_new_member() -> None:
    stage = Stage(3)
    stage.stand("a", "b")
    for number in range(50):
        stage.propose("a", b"n%d" % number)
    stage.talk("a", "b", "c")
    del stage.cores["c.1"]  # its disk is lost; what comes back under the name is another member
    for core in stage.cores.values():
        core.peer_disconnected("c.1")
    stage.cores["c.2"] = stage.make("c.2")
    stage.meet("c.2")
    stage.talk("a", "b", "c")
    assert stage["c"].blank and stage["c"].machine.applied == []

    while (
        change := next_step(stage["a"].config, stage["a"].connected | {"a.1"}, {"c.2"}, {"a", "b", "c"})
    ) is not None:
        assert stage["a"].propose_config(change) == ""
        stage.talk("a", "b", "c")
    assert stage["c"].machine.applied == [b"n%d" % number for number in range(50)]
    assert stage["c"].config == stage["a"].config
    assert stage["c"].config.voters == ("a.1", "b.1", "c.2")


def test_a_follower_with_a_longer_stale_log_is_brought_in_line_in_few_words() -> None:
    stage = Stage(3)
    stage.stand("a", "b")
    stage.talk("a", "b", "c")
    for number in range(200):
        stage.propose("a", b"stale-%d" % number)
    stage.post.clear()
    stage.stand("b", "c")
    stage.propose("b", b"fresh")
    sent = 0
    for _ in range(6):
        stage.clock.time += 0.06
        for member in stage.members:
            stage.settle(member)
        post, stage.post = stage.post, []
        sent += len(post)
        for sender, to, message in post:
            stage.cores[to].receive(sender, codec.unpack(codec.pack(message)))
    assert stage.log("a") == stage.log("b") and sent < 60


def test_a_returning_node_does_not_depose_a_healthy_leader() -> None:
    """c was cut off for many elections; it only ever asked, so its term is what it was, and the leader stays."""
    stage = Stage(3)
    stage.stand("a", "b")
    stage.talk("a", "b", "c")
    term = stage["a"].term
    for _ in range(40):
        stage.clock.time += 300.0  # beyond an election timeout of this stage in no time
        for core in stage.cores.values():
            core.ticked_at = stage.clock.time
        for member in stage["a"].progress.values():
            member.heard_at = stage.clock.time
        stage["b"].heard_from("a.1")
        stage.settle("c.1")
    assert [m["type"] for s, _, m in stage.post if s == "c.1"].count("pre_vote") >= 4
    stage.post = [item for item in stage.post if item[0] == "c.1"]
    stage.talk("a", "b", "c")
    assert stage["a"].leading and {core.term for core in stage.cores.values()} == {term}
    assert stage["c"].leader == "a.1"


def test_a_node_that_hears_the_others_but_not_the_leader_deposes_nobody() -> None:
    stage = Stage(3)
    stage.stand("a", "b")
    stage.talk("a", "b", "c")
    term = stage["a"].term
    for _ in range(40):
        stage.clock.time += 300.0
        for letter in "ab":
            stage[letter].ticked_at = stage.clock.time
        for member in stage["a"].progress.values():
            member.heard_at = stage.clock.time
        stage["b"].heard_from("a.1")
        stage.talk("b", "c")
    assert stage["c"].pre_votes == {"c.1"}, "it asked, and b said no"
    assert stage["a"].term == stage["b"].term == stage["c"].term == term
