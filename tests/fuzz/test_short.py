"""A few thousand inputs for each target in every test run, and proof that a finding would be one."""

from __future__ import annotations

import random

import mutate
import pytest
import seeded
import targets
from targets import TARGETS

from sidecar.wire import checks, frames

SEED = 20240607
COUNT = 1500


@pytest.mark.parametrize("name", list(TARGETS))
def test_nothing_but_a_protocol_error(name: str) -> None:
    target, corpus = TARGETS[name]
    assert seeded.run(target, corpus, SEED, count=COUNT) == COUNT, f"seed {SEED}"


def test_a_seed_is_the_same_inputs_again() -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        seeded.run(seen.append, TARGETS["session"][1], seed, count=300)
        return seen

    assert inputs(1) == inputs(1) != inputs(2)


def test_mutations_reach_behind_the_parser() -> None:
    """Enough of them are still messages, or the fuzzer tries nothing but the first check."""
    rng, whole = random.Random(SEED), 0
    for data in TARGETS["client_end"][1] * 3:
        for payload in mutate.frames(mutate.mutate(data, rng)[mutate.CONTROL :]):
            try:
                frames.decode(payload)
                whole += 1
            except frames.ProtocolError:
                pass
    assert whole > 200


@pytest.mark.parametrize(
    ("name", "where", "what"),
    [
        ("client_end", checks, "number"),
        ("server_end", checks, "versions"),
        ("session", checks, "fields"),
        ("node", checks, "text"),
        ("frames", targets, "decode"),
    ],
)
def test_a_check_that_raises_something_else_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, where: object, what: str
) -> None:
    def careless(*_: object) -> None:
        raise KeyError("careless")

    monkeypatch.setattr(where, what, careless)
    target, corpus = TARGETS[name]
    with pytest.raises(seeded.Finding) as found:
        seeded.run(target, corpus, SEED, count=COUNT)
    assert "careless" in str(found.value) and found.value.data
