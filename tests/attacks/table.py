"""One attack, and what came of it.

Why it exists: every attack is judged alike: it must meet the very refusal that was arranged for it.
What it refuses to do: count a refusal for another reason, or an attack that fell over by itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from world import World


@dataclasses.dataclass(frozen=True)
class Attack:
    """`run` returns what it met, in a few words. `expected`: a regular expression for all of it."""

    name: str
    door: str
    expected: str
    run: Callable[[World], str]


@dataclasses.dataclass(frozen=True)
class Met:
    attack: Attack
    got: str

    @property
    def ok(self) -> bool:
        return re.fullmatch(self.attack.expected, self.got) is not None


def meet(attack: Attack, world: World) -> Met:
    try:
        return Met(attack, attack.run(world))
    except Exception as error:
        return Met(attack, f"the attack itself failed: {type(error).__name__}: {error}"[:160])


def printed(results: list[Met]) -> str:
    head = ("attack", "door", "expected", "got", "ok")
    rows = [
        (met.attack.name, met.attack.door, met.attack.expected, met.got, "ok" if met.ok else "NO") for met in results
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )
