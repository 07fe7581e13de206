"""The issuer's public keys, held in memory: fetched over HTTPS, kept when the issuer is away.

Why it exists: tokens are verified offline, so that the store goes on delivering while the Kubernetes API is down; this
is the only part that ever talks to the issuer. What it refuses to do: give up keys because a fetch failed (only their
age counts), follow a redirect, speak plain HTTP, or let callers with invented key ids drive more than one request in
ten seconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from pathlib import Path
from typing import Final

import aiohttp

from node.clock import Clock
from node.errors import Fatal, Retry
from node.tokens.jwks import Key, Unusable, is_https, keys_url, origin, parse_keys

__all__ = ["Key", "KeySet"]

PERIOD: Final = 300.0
"""Seconds between refreshes: how long a key that the issuer withdrew is still believed while the issuer answers."""
UNKNOWN_EVERY: Final = 10.0
"""Seconds between refreshes for unknown key ids. Anybody who reaches the port can invent one."""
EMPTY_EVERY: Final = 1.0
"""The same while there are no keys at all: nobody can be served until there are."""
TIMEOUT: Final = 3.0
"""Seconds for both documents together. Whoever waits for less time gives up alone; the fetch goes on for the rest."""
MAX_DOCUMENT: Final = 256 << 10
"""Bytes of either document. A set of three RSA keys has 2 KiB."""
MAX_TOKEN: Final = 16 << 10
"""Bytes of the node's own token file."""

log = logging.getLogger("node.tokens")


class KeySet:
    """Keys of `issuer` by key id.

    `ca_file`: PEM bundle the issuer's certificate must chain to; None for the system's. `token_file`: the node's own
    bearer token for an issuer that asks for one (Kubernetes does, unless anonymous discovery is allowed). Both files
    are read again at each fetch, since Kubernetes rotates them. `period`: seconds between refreshes.
    `max_age`: seconds since the last fetch that worked after which no key is believed any more.
    Raises Fatal if `issuer` is not https."""

    def __init__(
        self,
        issuer: str,
        ca_file: Path | None,
        clock: Clock,
        token_file: Path | None = None,
        *,
        period: float = PERIOD,
        max_age: float = math.inf,
    ) -> None:
        if not is_https(issuer):
            raise Fatal("SAFE_ISSUER is not an https address", hint="write it as the iss claim of the tokens has it")
        self._issuer = issuer
        self._ca_file = ca_file
        self._clock = clock
        self._token_file = token_file
        self._period = period
        self._max_age = max_age
        self._fetched = clock.now()
        self._keys: dict[str, Key] = {}
        self._asked: float | None = None
        self._failing = False
        self._stopped = False
        self._flight: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to fetch, and returns without waiting for it: a node starts also while the issuer is away.

        Raises Fatal if the CA file cannot be read."""
        try:
            await asyncio.to_thread(self._context)
        except OSError as error:
            raise Fatal(
                f"the issuer's CA cannot be loaded from {self._ca_file}: {type(error).__name__}",
                hint="SAFE_ISSUER_CA must be a PEM file, for example the ca.crt beside a service-account token",
            ) from None
        self._stopped = False
        self._loop = asyncio.create_task(self._keep(), name="issuer-keys")

    async def stop(self) -> None:
        """Ends every fetch. The keys stay."""
        self._stopped = True
        tasks = [task for task in (self._loop, self._flight) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = self._flight = None

    async def get(self, kid: str) -> Key | None:
        """The key, or None if the issuer does not publish it as far as is known.

        A known key is answered at once, whatever the issuer does. An unknown one waits for a fetch (at most TIMEOUT).
        Raises Retry unavailable if there are no keys at all."""
        self._forget_old()
        key = self._keys.get(kid)
        if key is None and self._may_fetch():
            await self._refresh()
            key = self._keys.get(kid)
        if key is None and not self._keys:
            raise Retry(
                "this node has no keys of the token issuer that are young enough and cannot reach it",
                hint="try again; if it lasts, the node's log says why: see SAFE_ISSUER and SAFE_ISSUER_CA",
                after=EMPTY_EVERY,
            )
        return key

    def _forget_old(self) -> None:
        if self._keys and self._clock.now() - self._fetched > self._max_age:
            log.error("the issuer has been away for more than %.0f s: its keys are believed no more", self._max_age)
            self._keys = {}

    def _may_fetch(self) -> bool:
        """Whether an unknown key id is worth a fetch now. To join one under way costs the issuer nothing."""
        if self._stopped:
            return False
        if self._flight is not None:
            return True
        now = self._clock.now()
        if self._asked is not None and now - self._asked < (UNKNOWN_EVERY if self._keys else EMPTY_EVERY):
            return False
        self._asked = now
        return True

    async def _keep(self) -> None:
        """Refreshes for as long as the node runs. Spread by a tenth, so that the nodes do not ask together."""
        while True:
            await self._refresh()
            pause = min(self._period, UNKNOWN_EVERY if self._keys else EMPTY_EVERY) if self._failing else self._period
            await asyncio.sleep(pause * self._clock.uniform(0.9, 1.1))

    async def _refresh(self) -> None:
        """One fetch at a time, shared by all who want one. A caller that gives up does not end it for the others."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._attempt(), name="issuer-keys-fetch")
            self._flight.add_done_callback(self._landed)
        await asyncio.wait({self._flight})

    def _landed(self, task: asyncio.Task[None]) -> None:
        if self._flight is task:
            self._flight = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("fetching the issuer's keys broke: %s", type(error).__name__)
            self._failing = True

    async def _attempt(self) -> None:
        """Takes over what was fetched, whole, or leaves everything as it was. Logs changes, not repetitions."""
        try:
            async with asyncio.timeout(TIMEOUT):
                keys = await self._fetch()
        except (aiohttp.ClientError, OSError, ValueError, Unusable) as error:
            if not self._failing:
                log.warning("the issuer's keys cannot be fetched (%d kept): %s", len(self._keys), _reason(error))
            self._failing = True
            return
        if self._failing or keys.keys() != self._keys.keys():
            log.info("fetched %d keys of the issuer", len(keys))
        self._keys = keys
        self._fetched = self._clock.now()
        self._failing = False

    async def _fetch(self) -> dict[str, Key]:
        context = await asyncio.to_thread(self._context)
        token = await asyncio.to_thread(self._token)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a compressed document is one whose size is not known
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        ) as session:
            discovery = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            url = keys_url(await _document(session, discovery, token), self._issuer)
            if self._ca_file is None and origin(url) != origin(self._issuer):
                # Kubernetes publishes its keys under the API server's own address, which the cluster's CA vouches
                # for. With the system's CAs any host on the internet is vouched for: ours is not shown to it.
                token = None
            return parse_keys(await _document(session, url, token))

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca_file)

    def _token(self) -> str | None:
        if self._token_file is None:
            return None
        with self._token_file.open("rb") as file:
            data = file.read(MAX_TOKEN + 1).strip()
        if not data or len(data) > MAX_TOKEN or not all(0x21 <= byte <= 0x7E for byte in data):
            raise Unusable("the node's own token file does not hold a token")
        return data.decode("ascii")


async def _document(session: aiohttp.ClientSession, url: str, token: str | None) -> bytes:
    """The body of a 200, at most MAX_DOCUMENT. Raises Unusable for any other answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise Unusable(f"the issuer answered with status {response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Unusable("the issuer compressed its answer without being asked to")
        data = bytearray()
        async for chunk in response.content.iter_chunked(1 << 14):
            data += chunk
            if len(data) > MAX_DOCUMENT:
                raise Unusable(f"the issuer's document is larger than {MAX_DOCUMENT} bytes")
        return bytes(data)


def _reason(error: Exception) -> str:
    """For the log. Connection errors name host and cause; others could quote a header, so only their type is told."""
    if isinstance(error, (Unusable, aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError)):
        return str(error)
    return type(error).__name__
