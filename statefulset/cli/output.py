"""How answers look: aligned text for people, JSON for scripts, errors on standard error.

Why it exists: one place decides what is printed, so no command prints a value by accident.
What it refuses to do: wrap, truncate or colour what a script may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

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


def size(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


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


class OutputLostError(OSError):
    """Standard output is closed, full or read by nobody any more. From then on it leads nowhere, so that Python does
    not complain at exit."""


def say(text: str) -> None:
    """Raises OutputLostError."""
    _write(printable(text) + "\n")


def say_json(data: Any) -> None:
    """Raises OutputLostError."""
    _write(json.dumps(data, indent=2) + "\n")


def say_bytes(data: bytes) -> None:
    """Exactly these. Raises OutputLostError."""
    try:
        sys.stdout.buffer.write(data)
    except (OSError, ValueError):
        raise OutputLostError from None
    _write("")


def _write(text: str) -> None:
    if not _written(sys.stdout, text):
        raise OutputLostError


def _written(stream: TextIO | None, text: str) -> bool:
    """Writes now. False if the stream is closed, full or a broken pipe."""
    if stream is None:
        return False
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def flush() -> bool:
    """What others left to be written to standard output. False if it was lost."""
    return sys.stdout is None or _written(sys.stdout, "")


def note(text: str) -> None:
    """A remark for people, on standard error so that it is never part of the answer; lost if that takes nothing."""
    _written(sys.stderr, printable(text) + "\n")


def printable(text: str) -> str:
    """What a server said, without the control characters that would steer a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def fail(error: CliError, *, as_json: bool) -> None:
    if as_json:
        _written(sys.stderr, json.dumps(error.as_json()) + "\n")
        return
    note(f"safe: {error.message} ({error.code})")
    if error.hint:
        note(f"hint: {error.hint}")
