"""Whether a workload's token has been revoked: token reviews behind offline verification, never in front of it.

Why it exists: a token says until when it is good, not that its pod was deleted. The API server knows; it is asked once
for each new stream and then again as long as the stream lives. What it refuses to do: keep delivery waiting. While the
API server is away, slow or busy, what was verified offline is let in, is asked about as soon as it can be, and is put
out if the answer is no; only after `grace` seconds without any answer are new streams refused. It never ends a stream
because nobody answered.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from node.clock import Clock
from node.errors import Rejected, Retry
from node.tokens.kube import Away, Reviewed
from node.tokens.lane import Lane

AGAIN: Final = 45.0
"""Seconds after which a token in use is asked about again, so that a deleted pod's token is dead within a minute."""
REFUSED: Final = 10.0
"""The same for one that was not accepted: long enough that insisting is useless, short enough for a mistake to pass."""
PATIENCE: Final = 0.5
"""Seconds a new stream waits for its first answer: an API server that is well needs some milliseconds."""
SHORT: Final = 16
"""Questions under way beyond which a new stream does not wait: its turn would not come in PATIENCE."""
ASKING: Final = 64
"""Questions under way, at most. What is due and finds no room is asked at a later visit of its stream."""
REMEMBERED: Final = 32_768
"""Tokens: those of 20 000 streams, the limit of the delivery door, while they are being renewed."""

Ask = Callable[[str, str | None], Awaitable[Reviewed | None]]


class Identity(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def serviceaccount(self) -> str: ...


@dataclasses.dataclass(slots=True)
class _Token:
    """`good`: the last answer, None before the first. `due`: when to ask again."""

    namespace: str
    serviceaccount: str
    good: bool | None = None
    due: float = 0.0
    flight: asyncio.Task[None] | None = None


class Reviews:
    """`ask(token, audience)` raises Away. `grace`: seconds without any answer after which new streams are refused.

    Only tokens that have been verified offline may be brought here: that is what bounds how many there are."""

    def __init__(self, ask: Ask, lane: Lane, audience: str, clock: Clock, grace: float) -> None:
        self._ask = ask
        self._lane = lane
        self._audience = audience
        self._clock = clock
        self._grace = grace
        self._asking = 0
        self._tokens: OrderedDict[str, _Token] = OrderedDict()

    async def admit(self, token: str, identity: Identity) -> None:
        """A new stream with this token may begin. Raises Rejected token_revoked; Retry if the API server has not
        answered anybody for `grace` seconds. Waits at most PATIENCE."""
        known = self._known(token, identity.namespace, identity.serviceaccount)
        self._plan(token, known)
        if known.good is None and known.flight is not None and self._lane.answering and self._asking <= SHORT:
            await asyncio.wait({known.flight}, timeout=PATIENCE)
        if known.good is False:
            raise Rejected(
                "the cluster does not accept this token any more",
                code="token_revoked",
                hint="its pod or service account was deleted; a new pod has a new token",
            )
        if self._lane.silence > self._grace:
            raise Retry(
                f"the API server has not confirmed any token for {self._grace:g} s, so nobody new is let in",
                hint="streams that are open go on; see SAFE_REVIEW_GRACE and the node's log",
                after=5.0,
            )

    def revoked(self, token: str, namespace: str, serviceaccount: str) -> bool:
        """Whether the stream that was begun or renewed with this token must end. Costs a look in a table; asks again
        in the background when it is time and there is room."""
        known = self._known(token, namespace, serviceaccount)
        self._plan(token, known)
        return known.good is False

    def _known(self, token: str, namespace: str, serviceaccount: str) -> _Token:
        known = self._tokens.get(token)
        if known is None:
            known = self._tokens[token] = _Token(namespace, serviceaccount)
            while len(self._tokens) > REMEMBERED:
                self._tokens.popitem(last=False)
        else:
            self._tokens.move_to_end(token)
        return known

    def _plan(self, token: str, known: _Token) -> None:
        if known.flight is None and self._clock.now() >= known.due and self._asking < ASKING and self._lane.room:
            self._asking += 1
            known.flight = asyncio.get_running_loop().create_task(self._review(token, known))

    async def _review(self, token: str, known: _Token) -> None:
        try:
            found = await self._lane.ask(lambda: self._ask(token, self._audience))
        except Away:
            return  # still due
        finally:
            known.flight = None
            self._asking -= 1
        name = f"system:serviceaccount:{known.namespace}:{known.serviceaccount}"
        known.good = found is not None and found.person.name == name and self._audience in found.audiences
        known.due = self._clock.now() + (self._clock.uniform(0.8, 1.0) * AGAIN if known.good else REFUSED)
