"""One line an event, on standard error: where an operator looks first.

Why it exists: names and reasons come from peers and from system calls, and a log that a peer can write lines into lies.
What it refuses to do: hold a level, a format or a file; fail when nobody reads.
"""

from __future__ import annotations

import sys


def one_line(text: str) -> str:
    """Whatever a peer or a system call put into `text`, the log stays one line an event."""
    return "".join(char if char.isprintable() else " " for char in text)[:2000]


def log(text: str) -> None:
    try:
        sys.stderr.write(f"safe-sidecar: {one_line(text)}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads; no reason to stop delivering
