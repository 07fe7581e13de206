"""What is known of one request while it is handled: its id, its deadline, who asks, and what the audit line will say.

Why it exists: the middleware opens it, the handlers add to it, the audit reads it; nothing else travels between them.
What it refuses to do: hold the body, a value, or the token.
"""

from __future__ import annotations

import contextvars
import dataclasses

from aiohttp import web

from node.clock import Clock
from node.errors import Rejected, Retry
from node.tokens.person import Person
from sidecar.wire import names

SPARE = 0.25
"""Seconds kept back from a request's deadline, so that what we wait for can still say why it did not come."""


@dataclasses.dataclass(slots=True)
class Context:
    """`deadline` is on the monotonic clock, in seconds. `action` names the route, for example "secret.put"."""

    request_id: str
    action: str
    remote: str
    deadline: float
    clock: Clock
    subject: str | None = None
    person: Person | None = None
    name: str | None = None
    version: int | None = None
    index: int | None = None
    several: tuple[tuple[str, int | None], ...] = ()
    """(name, version) of each secret, of an action on several."""
    grants: dict[str, dict[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    """Of a secret, by its name: to whom it is `added`, from whom `removed`, or what all its grants are `set` to."""
    reason: str | None = None
    """Why it was refused, in the words of the answer: these name no value (node.errors)."""

    def remaining(self) -> float:
        """Seconds that something inside this request may still take. Raises Retry when there are none."""
        left = self.deadline - SPARE - self.clock.now()
        if left <= 0:
            raise deadline_passed()
        return left


def deadline_passed() -> Retry:
    return Retry(
        "the request was not done within its deadline; a change may still take effect",
        hint="send it again with the same Idempotency-Key: it is then applied once, whatever became of this one",
        after=1.0,
    )


_current: contextvars.ContextVar[Context] = contextvars.ContextVar("raftsafe.admin.request")


def enter(context: Context) -> None:
    """From here on, in this task, this is the request; the middleware calls it first."""
    _current.set(context)


def current() -> Context:
    """The context of the request that this task handles."""
    return _current.get()


def secret_name(request: web.Request) -> str:
    """ "ns/name" from the path, noted for the audit line. Raises Rejected if it is not a name."""
    name = f"{request.match_info['namespace']}/{request.match_info['name']}"
    if not names.is_secret(name):
        raise Rejected(
            "the path does not hold a well-formed namespace/name",
            hint="namespace: a DNS label; name: 1 to 253 of a-z 0-9 . - with a letter or digit at both ends, no '..'",
        )
    current().name = name
    return name
