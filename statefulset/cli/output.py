"""How answers look: aligned text for people, JSON for scripts, errors on standard error.

Why it exists: one place decides what is printed, so no command prints a value by accident; none ever has one.
What it refuses to do: wrap, truncate or colour what a script may read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from statefulset.cli.errors import CliError


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the widest cell, two spaces between them, no spaces at the ends of lines."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(items: Sequence[tuple[str, str]]) -> str:
    """`name:  value` lines, values aligned."""
    width = max(len(name) for name, _ in items) + 1
    return "\n".join(f"{name + ':':<{width}}  {value}".rstrip() for name, value in items)


def when(ms: int | None) -> str:
    """Milliseconds since the epoch as UTC to the second, "-" for none."""
    if ms is None:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


class Applied:
    """Whether a change was acknowledged: then the command is done, whatever becomes of its output."""

    made = False


class OutputLostError(Exception):
    """Standard output is closed, full or read by nobody any more."""


def say(text: str) -> None:
    """Raises OutputLostError."""
    _write(printable(text) + "\n")


def say_json(data: Any) -> None:
    """Raises OutputLostError."""
    _write(json.dumps(data, indent=2) + "\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # full or a broken pipe; closed later; closed from the start
        raise OutputLostError from None


def note(text: str) -> None:
    """A remark for people, on standard error so that it is never part of the answer."""
    sys.stderr.write(printable(text) + "\n")


def printable(text: str) -> str:
    """What a server said, without the control characters that would steer a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def fail(error: CliError, *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps(error.as_json()) + "\n")
        return
    note(f"safe: {error.message} ({error.code})")
    if error.hint:
        note(f"hint: {error.hint}")
