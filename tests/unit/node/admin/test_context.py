"""What is known of a request: its deadline."""

from __future__ import annotations

import pytest

from node.admin.context import SPARE, Context
from node.errors import Retry


class At:
    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def test_remaining_keeps_a_little_back():
    context = Context("r", "a", "", 10.0, At(7.0))  # type: ignore[arg-type]
    assert context.remaining() == pytest.approx(3.0 - SPARE)


def test_nothing_remains():
    context = Context("r", "a", "", 10.0, At(10.0 - SPARE))  # type: ignore[arg-type]
    with pytest.raises(Retry) as caught:
        context.remaining()
    assert caught.value.code == "unavailable"
