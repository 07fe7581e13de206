"""What a session may ask of the shell around it.

Why it exists: the session decides and the client acts; these few words are all that passes between them.
What it refuses to do: act.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.dialer import Route
from sidecar.settings import Node
from sidecar.wire import messages as m


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to the first of `nodes` that answers, in the order of dialer.order; connected() or failed() follows."""

    nodes: tuple[Node, ...]
    shunned: tuple[Route, ...]
    chance: float


@dataclass(frozen=True, slots=True)
class LookUp:
    """The node may be lost: resolve these names, so that they need not be waited for when it is."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Write this to the stream. A Bye ends it."""

    message: m.ClientMessage


@dataclass(frozen=True, slots=True)
class Place:
    """Make this the next generation of files, then call placed() or place_failed(). None removes. `partial`: only what
    is to be removed, because the whole could not be placed or takes its time: one under way is given up for it.
    `store`: whose versions these are; `former`: names whose value stays that of a store before this one."""

    changes: Mapping[str, m.Secret | None]
    index: int
    complete: bool
    floors: Mapping[str, int]
    partial: bool = False
    store: str = ""
    former: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Close:
    """Drop the stream; lost() is not called for it."""


@dataclass(frozen=True, slots=True)
class ReadToken:
    """Read the token file and call token()."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Call woken() in so many seconds. Replaces the Wait before it; None: only an event can go on."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Log:
    """One line for the operator."""

    text: str


@dataclass(frozen=True, slots=True)
class Exit:
    """End the process. Codes: 0 done, 1 refused or missing, 3 store away."""

    code: int
    message: str


Action = Dial | LookUp | Send | Place | Close | ReadToken | Wait | Log | Exit
