"""One node, put together: disk, Raft, store, the three doors, and what has to be done in the background.

Why it exists: everything below is built in parts that know nothing of each other; this is the only place that knows
them all. It starts them in the order in which they depend on each other and stops them in the reverse one.
What it refuses to do: decide anything. A failure in a part that must not fail ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import ssl
from typing import Any

from node.admin.rights import GROUP
from node.admin.server import AdminServer
from node.admin.services import Services
from node.clock import Clock
from node.crypto import certs
from node.crypto.envelope import FileKeys
from node.crypto.keyring import Keyring
from node.crypto.rootkey import RootKey
from node.crypto.sealing import SealKey
from node.delivery.explain import Explainer
from node.delivery.hub import Hub
from node.delivery.server import DeliveryServer
from node.errors import Fatal, Retry
from node.raft.node import RaftNode
from node.settings import Settings
from node.store import commands
from node.store.fsm import Store
from node.tokens.gate import Gate
from node.tokens.keys import PERIOD, KeySet
from node.tokens.kube import Kube
from node.tokens.lane import Lane
from node.tokens.review import Reviews
from node.tokens.verify import Identity, Verifier

log = logging.getLogger("node")
# A third of a leaf's life: two failed renewals are survived, and clocks may be wrong by hours.
RENEW_EVERY = certs.LEAF_LIFETIME.total_seconds() / 3
# Between two looks at whether the cluster lacks its first data key, seconds.
KEY_CHECK = 0.2


class Doors:
    """TLS contexts of the two authorities, renewed live."""

    def __init__(self, settings: Settings) -> None:
        self._peers = certs.Authority.load(settings.identity_dir, "peer")
        self._servers = certs.Authority.load(settings.identity_dir, "server")
        self._peer_names = (settings.name,)
        self._server_names = (settings.name, *settings.server_names)
        peer = self._peers.issue(self._peer_names)
        self.peer_server = certs.server_context(peer, self._peers.cert_pem)
        self.peer_client = certs.client_context(self._peers.cert_pem, peer)
        self.server = certs.server_context(self._servers.issue(self._server_names))

    def peer_contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """(for those who dial us, for those we dial)."""
        return self.peer_server, self.peer_client

    def renew(self) -> None:
        peer = self._peers.issue(self._peer_names)
        certs.renew(self.peer_server, peer)
        certs.renew(self.peer_client, peer)
        certs.renew(self.server, self._servers.issue(self._server_names))


class Identities:
    """Who workloads and people are, and what people may do: the issuer's keys, and the API server's reviews."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        # Keys are refreshed every PERIOD, so none that is in use is ever as old as that three times over.
        age = max(settings.review_grace, 3 * PERIOD)
        self.keys = KeySet(settings.issuer, settings.issuer_ca, clock, settings.issuer_token, max_age=age)
        self.kube = Kube(settings.api_server, settings.api_ca, settings.api_token)
        # Two lanes, so that neither crowd waits behind the other.
        self.reviews = Reviews(
            self.kube.review,
            Lane("reviews of workloads' tokens", clock, rate=100, at_once=8, queue=64),
            settings.audience,
            clock,
            settings.review_grace,
        )
        self.gate = Gate(
            self.kube,
            Lane("reviews of people and their rights", clock, rate=50, at_once=8, queue=128),
            Verifier(self.keys, settings.issuer, settings.admin_audience, clock),
            clock,
            issuer=settings.issuer,
            audience=settings.admin_audience,
            group=GROUP,
        )
        self._workloads = Verifier(self.keys, settings.issuer, settings.audience, clock)

    async def workload(self, token: str) -> Identity:
        """Offline first, then whether it was revoked, as far as that can be known now. Raises Rejected or Retry."""
        identity = await self._workloads.verify(token)
        await self.reviews.admit(token, identity)
        return identity

    async def close(self) -> None:
        await self.keys.stop()
        await self.kube.close()


class App:
    """Start, run until told to stop or until a part fails, stop."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        root = RootKey.load(settings.identity_dir)
        self.doors = Doors(settings)
        self.store = Store()
        self.keyring = Keyring(root, settings.cluster)
        self.raft = RaftNode(
            settings,
            self.store,
            FileKeys(root, settings.cluster),
            self.doors.peer_contexts,
            clock,
            self._applied,
            prepared=lambda: self.keyring.generations > 0,
        )
        self.identity = Identities(settings, clock)
        self.hub = Hub(self.store, self.keyring, settings.name)
        self.delivery = DeliveryServer(
            context=self.doors.server,
            host=settings.delivery_listen.host,
            port=settings.delivery_listen.port,
            hub=self.hub,
            verify=self.identity.workload,
            revoked=self.identity.reviews.revoked,
            applied_index=lambda: self.raft.core.last_applied,
            wait_applied=self.raft.wait_applied,
            clock=clock,
            node=settings.name,
            stale=lambda: not self.raft.core.has_quorum,
            cluster=settings.cluster,
            store=lambda: self.keyring.store,
        )
        self.admin = AdminServer(
            Services(
                raft=self.raft,
                store=self.store,
                keyring=self.keyring,
                sealing=SealKey.load(settings.identity_dir),
                gate=self.identity.gate,
                sidecars=self.delivery,
                explainer=Explainer(self.store, self.hub.granted, clock),
                clock=clock,
                settings=settings,
                request_key=root.request_key,
            )
        )
        self._delivering = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises Fatal when the node must not go on."""
        stopped = asyncio.ensure_future(stop.wait())
        if not await self._recovered(stopped):
            log.info("told to stop before anything was served")
            return
        await self._start()
        parts: list[asyncio.Future[None]] = [self.raft.failed, *self._tasks]
        everything: list[asyncio.Future[Any]] = [stopped, *parts]
        try:
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part.done():
                    part.result()
                    raise Fatal("a background task ended by itself")
        finally:
            stopped.cancel()
            for task in self._tasks:
                task.cancel()
        await self._stop()

    async def _recovered(self, stopped: asyncio.Future[Any]) -> bool:
        """Whether the disk is ours and was read, which can take long. Told to stop meanwhile this leaves at once, as a
        crash would: nobody was promised anything yet, and a crash at any point of it loses nothing."""
        reading = asyncio.ensure_future(self.raft.start())
        await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
            return True
        reading.cancel()
        return False

    async def _start(self) -> None:
        self.keyring.absorb(self.store.keys)
        # What was loaded stays: keep the collector from walking it at every full collection.
        gc.collect()
        gc.freeze()
        await self.identity.keys.start()
        await self.delivery.start()
        self._delivering = True
        await self.admin.start(self.settings.admin_listen, self.doors.server, self.settings.admin_socket)
        self._tasks = [asyncio.ensure_future(self._renew_leaves()), asyncio.ensure_future(self._make_first_key())]
        log.info(
            "serving: peers %s, delivery %s, admin %s",
            self.settings.peer_listen,
            self.settings.delivery_listen,
            self.settings.admin_listen,
        )

    async def _stop(self) -> None:
        """Planned: hand over leadership, send the sidecars elsewhere, finish what is in flight, leave."""
        await self.raft.hand_over()
        await asyncio.gather(self.delivery.drain("planned stop"), self.admin.stop())
        await self.delivery.close()
        await self.identity.close()
        await self.raft.stop()

    def _applied(self, index: int) -> None:
        if len(self.store.keys) != self.keyring.generations:
            self.keyring.absorb(self.store.keys)
        if self._delivering:
            self._deliver()

    def _deliver(self) -> None:
        """Tell the hub what changed; after a snapshot was taken over that is everything, so in slices."""
        self.delivery.changed()
        if self.store.changes_waiting:
            asyncio.get_running_loop().call_soon(self._deliver)

    async def _renew_leaves(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            self.doors.renew()
            log.info("certificates renewed")

    async def _make_first_key(self) -> None:
        """The first leader of a new cluster makes the first data key, through the log like everything else."""
        while not self.store.keys:
            if self.raft.core.leading:
                command = commands.AddKey(
                    rid=self.clock.token(commands.RID_SIZE),
                    t=self.clock.wall_ms(),
                    actor=f"node {self.settings.name}",
                    generation=1,
                    wrapped=self.keyring.new_key(1),
                )
                with contextlib.suppress(Retry):
                    await self.raft.propose(commands.encode(command), timeout=2.0)
            await asyncio.sleep(KEY_CHECK)
        await asyncio.Event().wait()
