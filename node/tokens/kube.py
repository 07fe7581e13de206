"""The Kubernetes API server, asked two questions: whose token is this, and may he do that.

Why it exists: the only module that knows the `kubernetes` library. Its asyncio client is used, so a question that takes
too long is cancelled and holds no thread. What it refuses to do: retry (whoever asks knows whether it is still wanted),
use a proxy of the environment, or let out an exception of the library: those hold the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from kubernetes.aio.client.api.authentication_v1_api import AuthenticationV1Api
from kubernetes.aio.client.api.authorization_v1_api import AuthorizationV1Api
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.models.v1_resource_attributes import V1ResourceAttributes
from kubernetes.aio.client.models.v1_subject_access_review import V1SubjectAccessReview
from kubernetes.aio.client.models.v1_subject_access_review_spec import V1SubjectAccessReviewSpec
from kubernetes.aio.client.models.v1_token_review import V1TokenReview
from kubernetes.aio.client.models.v1_token_review_spec import V1TokenReviewSpec
from kubernetes.aio.client.models.v1_user_info import V1UserInfo

from node.tokens.person import Person

Answer = TypeVar("Answer")

TIMEOUT: Final = 3.0
"""Seconds for one answer. The API server answers a review from memory in a few milliseconds."""
CONNECTIONS: Final = 16
"""At once to the API server, more than are ever asked at once (see Lane)."""
MAX_TOKEN: Final = 16 << 10


class Away(Exception):
    """No answer. `after`: seconds for which the server asked to be left alone, else 0. The message names no token."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


@dataclasses.dataclass(frozen=True, slots=True)
class Reviewed:
    """What the API server says of a token it accepts. `audiences`: of those asked for, the ones it is good for."""

    person: Person
    audiences: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """The question of a SubjectAccessReview (authorization.k8s.io/v1). `namespace`, `name`: "" for all."""

    group: str
    resource: str
    subresource: str
    verb: str
    namespace: str
    name: str


class Kube:
    """`server`: https address. `ca_file`: PEM the server's certificate must chain to, None for the system's CAs.
    `token_file`: our own bearer token, read at each question because the kubelet renews it. Close it at the end."""

    def __init__(self, server: str, ca_file: Path | None, token_file: Path) -> None:
        self._server = server
        self._ca_file = ca_file
        self._token_file = token_file
        self._client: ApiClient | None = None

    async def review(self, token: str, audience: str | None) -> Reviewed | None:
        """Who the token is of, None if the API server does not accept it: unknown, expired, its pod or account gone.
        `audience`: it must be good for this one; None for that of the API server itself. Raises Away."""
        spec = V1TokenReviewSpec(token=token, audiences=None if audience is None else [audience])
        body = V1TokenReview(spec=spec)
        status = (await self._ask(lambda client: AuthenticationV1Api(client).create_token_review(body))).status
        if status is None or not status.authenticated or status.user is None or not status.user.username:
            return None
        return Reviewed(_person(status.user), tuple(status.audiences or ()))

    async def access(self, person: Person, asked: Access) -> bool:
        """Whether the person may. Raises Away."""
        spec = V1SubjectAccessReviewSpec(
            user=person.name,
            uid=person.uid or None,
            groups=list(person.groups),
            extra={key: list(values) for key, values in person.extra} or None,
            resource_attributes=V1ResourceAttributes(
                group=asked.group,
                resource=asked.resource,
                subresource=asked.subresource or None,
                verb=asked.verb,
                namespace=asked.namespace or None,
                name=asked.name or None,
            ),
        )
        body = V1SubjectAccessReview(spec=spec)
        status = (await self._ask(lambda client: AuthorizationV1Api(client).create_subject_access_review(body))).status
        return status is not None and bool(status.allowed) and not status.denied

    async def close(self) -> None:
        client: Any = self._client
        self._client = None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()

    async def _ask(self, question: Callable[[ApiClient], Awaitable[Answer]]) -> Answer:
        """The answer; whatever goes wrong is Away, and after a broken connection the next one is new (the CA file may
        have been replaced). Nothing of the library travels on: its exceptions hold what was sent."""
        reason, after = "", 0.0
        try:
            async with asyncio.timeout(TIMEOUT):
                return await question(self._connected())
        except ApiException as error:
            reason, after = _refused(error)
        except TimeoutError:
            reason = f"no answer within {TIMEOUT:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = f"it cannot be reached: {type(error).__name__}"
            await self.close()
        raise Away(reason, after)

    def _connected(self) -> ApiClient:
        if self._client is None:
            settings: Any = Configuration(
                host=self._server,
                ssl_ca_cert=None if self._ca_file is None else str(self._ca_file),
                api_key_prefix={"BearerToken": "Bearer"},
            )
            settings.refresh_api_key_hook = self._refresh
            settings.api_key = {"BearerToken": ""}
            settings.connection_pool_maxsize = CONNECTIONS
            settings.proxy = None
            settings.client_session_kwargs = {
                "trust_env": False,
                "read_bufsize": 1 << 16,
                "cookie_jar": aiohttp.DummyCookieJar(),
            }
            self._client = ApiClient(settings)
        return self._client

    def _refresh(self, settings: Configuration) -> None:
        with self._token_file.open("rb") as file:
            data = file.read(MAX_TOKEN).strip()
        settings.api_key = {"BearerToken": data.decode("ascii", "replace")}


def _person(user: V1UserInfo) -> Person:
    extra = sorted((key, tuple(values)) for key, values in (user.extra or {}).items())
    return Person(str(user.username), user.uid or "", tuple(user.groups or ()), tuple(extra))


def _refused(error: ApiException) -> tuple[str, float]:
    """In words, and for how long the server asks to be left alone."""
    after = 0.0
    with contextlib.suppress(Exception):
        after = min(60.0, max(0.0, float((error.headers or {}).get("Retry-After", 0))))
    if error.status in (401, 403):
        return f"it answered {error.status}: this node may not ask; bind system:auth-delegator to it", after
    return f"it answered {error.status}", after
