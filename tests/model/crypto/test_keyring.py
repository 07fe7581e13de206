"""Keyrings of several nodes against a plain list of what was sealed: whatever the order in which keys and values reach
them, each value opens on every node that has its key, as what it was, and nowhere as anything else."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from node.crypto.keyring import Keyring
from node.crypto.primitives import NotAuthentic
from node.crypto.rootkey import RootKey
from node.errors import Fatal, Retry

ROOT, STRANGER = RootKey(b"r" * 32), RootKey(b"s" * 32)
NODES = st.integers(0, 2)
NAMES = st.sampled_from(["a/b", "a/b.c", "a-b/c"])
WRITES = st.binary(min_size=16, max_size=16)
FIELDS = st.dictionaries(st.sampled_from(["value", "user", "x.y"]), st.binary(max_size=40), min_size=1, max_size=3)
Sealed = tuple[str, int, bytes, bytes, dict[str, bytes]]


class Keyrings(RuleBasedStateMachine):
    """`log` is the replicated map's part: wrapped keys by generation, the first of each wins."""

    sealed: Bundle[Sealed] = Bundle("sealed")

    @initialize()
    def start(self) -> None:
        self.nodes = [Keyring(ROOT, "c1") for _ in range(3)]
        self.known: list[set[int]] = [set() for _ in self.nodes]
        self.log: dict[int, bytes] = {}

    @rule(node=NODES, generation=st.integers(1, 4))
    def propose_key(self, node: int, generation: int) -> None:
        self.log.setdefault(generation, self.nodes[node].new_key(generation))

    @rule(node=NODES)
    def absorb(self, node: int) -> None:
        self.nodes[node].absorb(self.log)
        self.known[node] = set(self.log)

    @rule(target=sealed, node=NODES, name=NAMES, write_id=WRITES, fields=FIELDS)
    def seal(self, node: int, name: str, write_id: bytes, fields: dict[str, bytes]) -> Sealed:
        if not self.known[node]:
            with pytest.raises(Retry):
                self.nodes[node].seal_value(name, write_id, fields)
            return multiple()  # type: ignore[return-value]
        generation, sealed = self.nodes[node].seal_value(name, write_id, fields)
        assert generation == max(self.known[node])
        return name, generation, write_id, sealed, fields

    @rule(node=NODES, one=sealed)
    def open_it(self, node: int, one: Sealed) -> None:
        name, generation, write_id, sealed, fields = one
        if generation in self.known[node]:
            assert self.nodes[node].open_value(name, generation, write_id, sealed) == fields
        else:
            with pytest.raises(NotAuthentic):
                self.nodes[node].open_value(name, generation, write_id, sealed)

    @rule(node=NODES, one=sealed, other=sealed)
    def open_it_as_another(self, node: int, one: Sealed, other: Sealed) -> None:
        """Any part exchanged for the one of another value."""
        for place in range(4):
            mixed = (*one[:place], other[place], *one[place + 1 : 4])
            if mixed not in (one[:4], other[:4]):
                with pytest.raises(NotAuthentic):
                    self.nodes[node].open_value(*mixed)

    @rule(node=NODES, one=consumes(sealed), data=st.data())
    def open_it_damaged(self, node: int, one: Sealed, data: st.DataObject) -> None:
        name, generation, write_id, sealed, fields = one
        at = data.draw(st.integers(0, len(sealed) - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        for damaged in (sealed[:at], sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :], sealed + b"\0"):
            with pytest.raises(NotAuthentic) as caught:
                self.nodes[node].open_value(name, generation, write_id, damaged)
            text = repr(caught.value)
            assert not any(repr(value)[2:-1] in text for value in fields.values() if len(value) > 3)

    @rule()
    def the_keys_under_another_root_key_or_cluster(self) -> None:
        for stranger in (Keyring(STRANGER, "c1"), Keyring(ROOT, "c2")):
            if self.log:
                with pytest.raises(Fatal):
                    stranger.absorb(self.log)
                assert stranger.generations == 0

    @invariant()
    def nothing_shows(self) -> None:
        if hasattr(self, "nodes"):
            for node, known in zip(self.nodes, self.known, strict=True):
                assert repr(node) == f"Keyring(generations={sorted(known)})"

    @rule(one=sealed)
    def no_plaintext_in_what_is_stored(self, one: Sealed) -> None:
        packed = msgpack.packb(one[:4])
        assert not any(value in packed for value in one[4].values() if len(value) > 8)


Keyrings.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestKeyrings = Keyrings.TestCase
