"""The fuzzer that needs nothing: a seed, a corpus that keeps growing, and mutate.py.

Why it exists: the short run of every test run, and the long one where atheris is not to be had.
What it refuses to do: forget how it got there: a finding is the input itself, and the seed finds it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from mutate import mutate

KEPT: Final = 2000
"""Inputs to mutate further; most findings are some steps away from a real stream."""


class Finding(Exception):
    """`data`: the input."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.data = data


def run(
    target: Callable[[bytes], None], corpus: Sequence[bytes], seed: int, *, count: int = 0, seconds: float = 0
) -> int:
    """So many inputs, or for so long; how many it were. Raises Finding."""
    rng, pool = random.Random(seed), list(corpus)
    done, deadline = 0, time.monotonic() + seconds
    while done < count or (seconds and time.monotonic() < deadline):
        data = pool[done] if done < len(corpus) else mutate(rng.choice(pool), rng)
        try:
            target(data)
        except Exception as error:
            raise Finding(data, error) from error
        done += 1
        if rng.random() < 0.2:
            if len(pool) < KEPT:
                pool.append(data)
            else:
                pool[rng.randrange(len(corpus), KEPT)] = data
    return done
