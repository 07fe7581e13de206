"""Random values from a pattern such as `[A-Za-z0-9]{32}`: parsed purely, drawn with the system's CSPRNG.

Why it exists: the best password is one that nobody thought of, typed or saw. It is made here and not by a node: what is
sent is then one value, the same in every retry.
What it refuses to do: negated sets, choices or open-ended repeats, under which it would be hard to say how likely each
value is; here each character is drawn on its own and uniformly from the distinct characters of its set.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from statefulset.cli.errors import CliError, usage

MAX_LENGTH: Final = 4096
"""Characters of one value: more than any protocol takes as a password."""
WEAK: Final = 64.0
"""Bits below which a value can be guessed by who can try offline."""
_ITEM: Final = re.compile(r"(?:\[((?:\\[^a-zA-Z0-9]|[^\\\]])+)\]|\\([^a-zA-Z0-9])|([^\\\[\]{}]))(?:\{([0-9]{1,4})\})?")
# A backslash before a letter is refused: \d would be the letter here and a class of characters elsewhere.
_MEMBER: Final = re.compile(r"\\?(.)(?:-\\?([^\]]))?", re.S)
_HOW: Final = (
    "write for example [A-Za-z0-9]{32}: sets in brackets, plain characters, a number of repeats in braces, and a "
    "backslash before one of [ ] { } - and \\ that is meant as it is"
)


def parse(pattern: str) -> tuple[str, ...]:
    """For each character of the value the distinct characters it is drawn from. Raises CliError (usage)."""
    out: list[str] = []
    position = 0
    while position < len(pattern):
        found = _ITEM.match(pattern, position)
        if found is None:
            raise usage(f"the pattern is not understood at character {position + 1}", _HOW)
        position = found.end()
        inside, escaped, plain, count = found.groups()
        choices = _members(inside) if inside is not None else escaped or plain
        if not choices.isprintable() or not choices.isascii():
            raise usage("the pattern has a character that is not printable ASCII", _HOW)
        out += [choices] * (1 if count is None else int(count))
        if len(out) > MAX_LENGTH:
            raise usage(f"the pattern makes more than {MAX_LENGTH} characters", "a smaller number of repeats")
    if not out:
        raise usage("the pattern makes an empty value", _HOW)
    return tuple(out)


def _members(text: str) -> str:
    out: set[str] = set()
    position = 0
    while position < len(text):
        found = _MEMBER.match(text, position)
        assert found is not None
        position = found.end()
        first, last = found.group(1), found.group(2) or found.group(1)
        if last < first:
            raise usage("a range in the pattern goes backwards", _HOW)
        out |= {chr(code) for code in range(ord(first), ord(last) + 1)}
    return "".join(sorted(out))


def bits(parts: Sequence[str]) -> float:
    """How much randomness a value has: log2 of how many there are, each as likely as any other."""
    return sum(math.log2(len(choices)) for choices in parts)


def draw(parts: Sequence[str], choice: Callable[[str], str] = secrets.choice) -> bytes:
    return "".join(map(choice, parts)).encode("ascii")


def make(pattern: str) -> bytes:
    """A value of the pattern. Raises CliError (usage) also for one that everybody could guess."""
    parts = parse(pattern)
    if bits(parts) == 0:
        raise CliError("the pattern makes one value only", code="usage", exit_code=2, hint=_HOW)
    return draw(parts)
