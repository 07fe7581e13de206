"""SIGINT, SIGTERM and SIGHUP as one exception in the main thread, raised once and never in a critical section.

Why it exists: whatever ends `safe dev`, the same clean-up runs, and it runs to its end. A signal between the start of
a process and the moment we remember it would leave that process to itself, so such places are shielded.
What it refuses to do: raise twice. The second Ctrl-C of an impatient person must not interrupt the cleaning, which is
bounded in time anyway.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody wants us to end. Not an Exception, so that no handler of errors swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _State:
    depth = 0
    pending = 0
    raised = False
    leaving = False


def _deliver() -> None:
    if _State.pending and not _State.depth and not _State.raised:
        _State.raised = True
        raise Stopped(_State.pending)


def _handle(number: int, _: FrameType | None) -> None:
    _State.pending = _State.pending or number
    _deliver()


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """For the time of the block the three signals raise Stopped. Main thread only, not nested."""
    _State.depth, _State.pending, _State.raised, _State.leaving = 0, 0, False, False
    before = {number: signal.signal(number, _handle) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if _State.leaving else handler)


def leave() -> None:
    """Everything is cleaned up and the process is about to exit: one more Ctrl-C shall not change its exit code."""
    _State.leaving = True


@contextlib.contextmanager
def shield() -> Iterator[None]:
    """What is begun inside is finished: a signal that comes meanwhile is raised at the end. Other threads, which no
    signal interrupts, pass through."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
    _deliver()
