"""The judge of the attacks: what it lets pass, and what it does not."""

from __future__ import annotations

import pytest
from table import Attack, meet, printed


def judged(got: str | Exception, expected: str = "403 forbidden|closed") -> bool:
    def run(_: object) -> str:
        if isinstance(got, Exception):
            raise got
        return got

    return meet(Attack("x", "admin", expected, run), None).ok  # type: ignore[arg-type]


@pytest.mark.parametrize("got", ["403 forbidden", "closed"])
def test_the_arranged_refusal_is_one(got: str) -> None:
    assert judged(got)


@pytest.mark.parametrize(
    "got", ["200", "401 token_expired", "403 forbidden and more", "", ConnectionRefusedError("closed")]
)
def test_any_other_is_none_nor_is_an_attack_that_fell_over(got: str | Exception) -> None:
    assert not judged(got)


def test_a_row_says_what_was_met() -> None:
    met = meet(Attack("x", "admin", "closed", lambda _: "200"), None)  # type: ignore[arg-type]
    assert printed([met]).splitlines()[1].split() == ["x", "admin", "closed", "200", "NO"]
