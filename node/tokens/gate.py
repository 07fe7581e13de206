"""Who an admin is, and what he may do: token reviews and subject access reviews, remembered for seconds.

Why it exists: rights are ordinary Kubernetes RBAC; this asks for them and holds no policy of its own.
What it refuses to do: take a service account's token that was not made for this door (every pod carries one for the API
server), let anybody in on an answer that is too old, or let strangers use up the questions of those who are known.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Hashable
from typing import Final, Protocol, TypeVar

from node.clock import Clock
from node.errors import Rejected, Retry
from node.tokens.kube import Access, Away, Reviewed
from node.tokens.lane import Lane
from node.tokens.person import Person
from node.tokens.remembered import Remembered
from node.tokens.verify import MAX_TOKEN, Verifier, issuer_of

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

FRESH: Final = 10.0
"""Seconds for which yes is believed without asking: what the API server itself does with tokens."""
FRESH_NO: Final = 2.0
"""The same for no: whoever has just been given a right tries again at once."""
GRACE: Final = 300.0
"""Seconds for which yes is believed while the API server does not answer: no longer than the API server itself believes
an authorisation webhook by default (--authorization-webhook-cache-authorized-ttl)."""
PEOPLE: Final = 1024
RIGHTS: Final = 8192
NEW_EVERY: Final = 0.1
NEW_BURST: Final = 20
"""Tokens never seen before that only the API server can judge: ten a second, twenty at first. Anybody can invent
one."""
ASKING: Final = 6
"""Questions of one person about rights under way at once: fewer than the lane sends together, so that nobody keeps the
others waiting by asking about ever new namespaces. Each is asked once however many requests wait for the answer."""
RESERVED: Final = "system:"
"""Names of the cluster's own parts: service accounts, nodes, controllers, and of those who have shown nothing."""


class Api(Protocol):
    """Both raise Away. See node.tokens.kube."""

    async def review(self, token: str, audience: str | None) -> Reviewed | None: ...
    async def access(self, person: Person, asked: Access) -> bool: ...


class Right(Protocol):
    """`namespace`, `name`: "" for all."""

    @property
    def verb(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def subresource(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


@functools.lru_cache(maxsize=RIGHTS)
def _wide(group: str, resource: str, subresource: str, verb: str, namespace: str) -> Access:
    """The same few questions come with every request."""
    return Access(group, resource, subresource, verb, namespace, "")


class Gate:
    """`verifier`: of the admins' audience. `issuer`: of service-account tokens. `group`: API group of the rights."""

    def __init__(
        self, api: Api, lane: Lane, verifier: Verifier, clock: Clock, *, issuer: str, audience: str, group: str
    ) -> None:
        self._api = api
        self._lane = lane
        self._verifier = verifier
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._group = group
        self._asking: Counter[Person] = Counter()
        self._credit = float(NEW_BURST)
        self._credited = clock.now()
        self._people: Remembered[tuple[str, str | None], Person | None] = Remembered(
            self._review, clock, fresh=_fresh, grace=_grace, limit=PEOPLE
        )
        self._rights: Remembered[tuple[Person, Access], bool] = Remembered(
            self._access, clock, fresh=_fresh, grace=_grace, limit=RIGHTS
        )

    async def who(self, token: str) -> Person:
        """The person whose token this is. Raises Rejected token_*; Retry while it cannot be known.

        A token that names our own issuer is one of a service account: it is verified offline for the admins' audience,
        then reviewed. Any other (of an identity provider) is for the API server to judge."""
        if await self._verifier.remembered(token) is not None:
            person = self._people.at_hand((token, self._audience))
            return person or self._accepted(await self._known(self._people, (token, self._audience)))
        if not 0 < len(token) <= MAX_TOKEN or not token.isascii() or not token.isprintable():
            raise Rejected(
                f"this is not a bearer token of at most {MAX_TOKEN} bytes",
                code="token_malformed",
                hint="send the token exactly as its file has it",
            )
        if issuer_of(token) == self._issuer:
            await self._verifier.verify(token)
            return self._accepted(await self._known(self._people, (token, self._audience)))
        if (token, None) not in self._people:
            self._spend()
        person = self._accepted(await self._known(self._people, (token, None)))
        if person.name.startswith(RESERVED):
            raise Rejected(
                f"the token of {person.name} is made for the API server, not for this store",
                code="token_audience",
                hint=f"kubectl create token NAME --audience {self._audience} makes one for it",
            )
        return person

    async def may(self, person: Person, right: Right) -> bool:
        """Whether the person has the right. Raises Retry while it cannot be known.

        The whole namespace is asked about first, since that answer is good for every secret in it; a role that is
        limited to names (resourceNames) is found by the second question."""
        wide = _wide(self._group, right.resource, right.subresource, right.verb, right.namespace)
        if self._rights.at_hand((person, wide)):
            return True
        if await self._known(self._rights, (person, wide)):
            return True
        narrow = dataclasses.replace(wide, name=right.name)
        return bool(right.name) and await self._known(self._rights, (person, narrow))

    async def _known(self, remembered: Remembered[Key, Answer], key: Key) -> Answer:
        reason = ""
        try:
            return await remembered.get(key)
        except Away as away:
            reason = away.reason
        raise Retry(
            f"the API server does not say who may do what: {reason}",
            hint="try again; in an emergency use the socket inside a pod of the store: see node/admin/DESIGN.md",
            after=1.0,
        )

    def _accepted(self, person: Person | None) -> Person:
        if person is None:
            raise Rejected(
                "the cluster does not accept this token",
                code="token_rejected",
                hint="it is unknown, has expired or was revoked: get a new one (a client certificate cannot be used)",
            )
        return person

    def _spend(self) -> None:
        """Raises Retry when too many unknown tokens were brought here lately."""
        now = self._clock.now()
        self._credit = min(float(NEW_BURST), self._credit + (now - self._credited) / NEW_EVERY)
        self._credited = now
        if self._credit < 1:
            raise Retry(
                "too many tokens nobody has seen before were sent to this node",
                code="too_many_requests",
                hint="wait a second; tokens of service accounts and known ones are not held up",
                after=1.0,
            )
        self._credit -= 1

    async def _review(self, key: tuple[str, str | None]) -> Person | None:
        token, audience = key
        found = await self._lane.ask(lambda: self._api.review(token, audience))
        # An authenticator that knows no audiences answers as if none had been asked for (TokenReviewStatus).
        good = found is not None and (audience is None or audience in found.audiences)
        return found.person if found is not None and good else None

    async def _access(self, key: tuple[Person, Access]) -> bool:
        person, asked = key
        if self._asking[person] >= ASKING:
            raise Away("too many questions of this identity wait already")
        self._asking[person] += 1
        try:
            return await self._lane.ask(lambda: self._api.access(person, asked))
        finally:
            self._asking[person] -= 1
            if not self._asking[person]:
                del self._asking[person]


def _fresh(answer: object) -> float:
    return FRESH if answer else FRESH_NO


def _grace(answer: object) -> float:
    return GRACE if answer else 0.0
