"""Dialling several addresses, the next one a moment after the last: whoever has shaken hands first is taken.

Why it exists: an address may be a black hole (a node cut off, a machine gone) and a dial that waits for it would last
longer than a silent partition may. In the manner of RFC 8305: a live node of the same cluster answers TCP within
milliseconds, so a tenth of a second is patience enough. A node that has answered TCP is only busy, as all are after
one of them died, and gets a second before another one is bothered as well.
What it refuses to do: choose the order, or retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from sidecar.dialer import Route

HEAD_START: Final = 0.1
"""Seconds for TCP before the next address is dialled as well."""
BUSY: Final = 1.0
"""Seconds, and up to as much again by chance, for TLS after that: a node frozen in between is rare, and a second
handshake of every sidecar while thousands wait would double the crowd."""


class Closable(Protocol):
    def close(self) -> None: ...


_Stream = TypeVar("_Stream", bound=Closable)
Attempt = Callable[[Route, asyncio.Event], Awaitable[_Stream]]
"""Dials one address; sets the event once TCP stands. Raises OSError."""


class NoneReached(OSError):
    """Every address failed: `errors` by route."""

    def __init__(self, errors: dict[Route, OSError]) -> None:
        super().__init__("no node reached")
        self.errors = errors


async def race(routes: Sequence[Route], attempt: Attempt[_Stream], chance: float) -> tuple[Route, _Stream]:
    """The first stream that stands, and whose it is; the others are ended. Raises NoneReached."""
    running: dict[asyncio.Task[_Stream], Route] = {}
    errors: dict[Route, OSError] = {}
    left = list(reversed(routes))
    answered = asyncio.Event()
    try:
        while left or running:
            if left:
                route, answered = left.pop(), asyncio.Event()
                running[asyncio.ensure_future(attempt(route, answered))] = route
            won = await _first(running, errors, answered, (BUSY * (1.0 + chance)) if left else None)
            if won is not None:
                return running.pop(won), won.result()
        raise NoneReached(errors)
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_end)


async def _first(
    running: dict[asyncio.Task[_Stream], Route],
    errors: dict[Route, OSError],
    answered: asyncio.Event,
    busy: float | None,
) -> asyncio.Task[_Stream] | None:
    """Waits until one stands (returned), or the next address should be tried. `busy` None: there is no next one."""
    patience = HEAD_START if busy is not None else None
    done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    if not done and answered.is_set():
        done, _ = await asyncio.wait(running, timeout=busy, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = task.exception()
        if error is None:
            return task
        if not isinstance(error, OSError):
            raise error
        errors[running.pop(task)] = error
    return None


def _end(task: asyncio.Task[_Stream]) -> None:
    """A loser: if it has come through in the same moment, nobody wants it any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
