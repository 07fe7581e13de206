"""The delivery door: one TLS listener, any number of sidecars, one hub.

Why it exists: sockets, tokens and time have to meet the pure hub somewhere, and it is here. A connection is greeted
(token verified, log index waited for) in one short task; from then on there is no task and no timer for it: the event
loop calls it when bytes arrive, and one timer visits all of them in turn.
What it refuses to do: decide what a sidecar may have (policy, hub), buffer for one that does not read (hub), let one
turn of the loop grow with the number of sidecars, or log a token or a value.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from node.clock import Clock
from node.delivery.acceptor import Acceptor
from node.delivery.audit import Audit
from node.delivery.connection import FORGOTTEN, Connection
from node.delivery.greeting import Door
from node.delivery.heartbeat import Heartbeat
from node.delivery.hub import Hub
from node.delivery.limits import Limits
from node.delivery.ports import Identity, Record
from node.delivery.receipts import Receipt
from node.delivery.refusals import Refusals
from node.delivery.rollout import Standing
from node.delivery.roster import Roster
from node.delivery.standings import standings
from node.delivery.subscriber import Action, Close, Send, Subscription, Unopened, Withheld
from node.errors import Rejected, Retry
from sidecar.wire import codes
from sidecar.wire import messages as m

_Said = TypeVar("_Said", m.Hello, m.Token)

log = logging.getLogger(__name__)

DRAIN_AT_ONCE: Final = 128
DRAIN_RATE: Final = 1500
"""Sidecars sent away a second. A handshake is about a millisecond of the node that takes them; told all at once, the
last of some thousands would be without a stream for seconds. Until it is told, each of them is served here."""
LATER_MS: Final = 5_000
"""When one comes back that every node is behind: it waits for a person, or for one that has only just come up."""


def never(token: str, namespace: str, serviceaccount: str) -> bool:
    """Where nobody can be asked."""
    return False


class DeliveryServer:
    """Public: start, changed, set_stale, drain, close, receipts, stats, port. Everything runs on one event loop.

    `verify` raises Rejected (token_* codes) or Retry. `revoked(token, namespace, serviceaccount)`: whether the stream
    begun with this token must end; asked at every visit, so it must not wait. `applied_index`: log index applied here.
    `wait_applied(index, timeout)`: whether it got there in time. `stale`: whether this node has lost touch with the
    majority. `store`: the identity of its store, "" while it knows none.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        host: str,
        port: int,
        hub: Hub,
        verify: Callable[[str], Awaitable[Identity]],
        revoked: Callable[[str, str, str], bool] = never,
        applied_index: Callable[[], int],
        wait_applied: Callable[[int, float], Awaitable[bool]],
        clock: Clock,
        node: str,
        stale: Callable[[], bool],
        limits: Limits | None = None,
        cluster: str = "",
        store: Callable[[], str] = lambda: "",
    ) -> None:
        self._host, self._wanted_port = host, port
        self._hub = hub
        self._applied_index = applied_index
        self._clock = clock
        self._node, self._cluster, self._store = node, cluster, store
        self._stale = stale
        self._limits = limits or Limits()
        self._door = Door(node, verify, self._index, wait_applied, self._settled, self._limits, stale, store)
        self._audit = Audit(node, clock)
        self._acceptor = Acceptor(lambda: Connection(self), context, self._full)
        self._roster = Roster()
        self._refusals = Refusals(self._audit, clock, self._limits, self._refused)
        self._heartbeat = Heartbeat(self._roster, self._refusals, self._look, revoked, clock, self._limits)
        self._working = False
        self._draining = ""
        self._settle_until = 0.0
        self._empty: asyncio.Event | None = None
        self.counters: dict[str, int] = dict.fromkeys(("welcomed", "broken", "renewed", "behind", "foreign"), 0)

    # -- what the wiring calls -------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self._acceptor.port

    @property
    def now(self) -> float:
        """Seconds, as of the last tick."""
        return self._heartbeat.now

    async def start(self) -> None:
        """Listens. Raises OSError if the address cannot be had."""
        self._settle_until = self._clock.now() + self._limits.settling
        self._hub.set_stale(self._stale())
        self._hub.collect()
        after = self._hub.rebuild()
        while after:
            await asyncio.sleep(0)
            after = self._hub.rebuild(after)
        self._acceptor.start(self._host, self._wanted_port)
        self._heartbeat.start()
        self._wake()

    def changed(self) -> None:
        """After each batch of applied commands: takes the changes from the store and delivers them."""
        self._hub.collect()
        self._wake()

    def set_stale(self, stale: bool) -> None:
        """The quorum was lost or is back; every sidecar is told. The timer asks `stale` by itself as well."""
        self._hub.set_stale(stale)
        self._wake()

    def receipts(self) -> list[Receipt]:
        return self._hub.receipts()

    def rollout(self, record: Record) -> AsyncIterator[Standing]:
        """Where each pod of this node stands with the secret. The loop serves others between two slices of them."""
        return standings(self._hub, record, self._clock, self._stale)

    def stats(self) -> dict[str, int]:
        """Numbers for metrics."""
        return {
            "connections": self._roster.count,
            "subscribers": len(self._roster.subscribed),
            "handshakes": self._acceptor.shaking,
            "handshakes_failed": self._acceptor.failed,
            "dropped": self._acceptor.dropped,
            **self.counters,
            "refused": self._refusals.count,
            "silent": self._heartbeat.silent,
            **self._hub.counters,
            "sealed": len(self._hub.sealed()),
            **self._audit.refusals,
        }

    async def drain(self, reason: str, timeout: float = 5.0) -> int:
        """A planned stop: nobody new, GOAWAY to one after the other, then at most `timeout` seconds for them to leave.

        Returns how many were still there and have been cut off.
        """
        self._draining = reason
        self._acceptor.close()
        frame = m.pack(m.Goaway(reason, self._limits.avoid_ms))
        for told, connection in enumerate(self._roster.everybody(), 1):
            if connection.greeted():
                connection.say_goodbye(frame, self._clock.now())
                connection.protocol.close()
            else:
                self._refusals.unavailable(connection, f"{self._node} is stopping: {reason}")
            if not told % DRAIN_AT_ONCE:
                await asyncio.sleep(DRAIN_AT_ONCE / DRAIN_RATE)
        self._empty = asyncio.Event()
        if self._roster.count:
            try:
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("%d sidecars had not left after %g s", self._roster.count, timeout)
        return self._abort_all()

    async def close(self) -> None:
        """Ends everything at once. After `drain`, or instead of it."""
        self._acceptor.close()
        await self._heartbeat.stop()
        self._abort_all()
        await asyncio.sleep(0)

    def _abort_all(self) -> int:
        connections = self._roster.everybody()
        for connection in connections:
            connection.abort()
        return len(connections)

    # -- what a connection calls -----------------------------------------------------------------------------------

    def _full(self, shaking: int) -> bool:
        return self._roster.count + shaking > self._limits.connections + 1024

    def opened(self, connection: Connection) -> None:
        connection.opened = connection.heard = self.now
        self._roster.add(connection)
        if self._draining:
            self._refusals.unavailable(connection, f"{self._node} is stopping: {self._draining}")
        elif self._roster.count > self._limits.connections:
            self._refusals.unavailable(connection, f"{self._node} has {self._limits.connections} connections already")

    def allowed(self, connection: Connection, size: int) -> bool:
        """Whether these bytes may be parsed: what strangers send is bounded for all of them together."""
        if connection.closing:
            return False
        connection.effort += size >> 12
        if connection not in self._roster.greeting:
            return True
        if self._roster.weigh(connection, size) <= self._limits.greeting_bytes:
            return True
        self._refusals.unavailable(connection, f"{self._node} is greeting too many at once")
        return False

    def received(self, connection: Connection, message: m.ClientMessage) -> None:
        connection.effort += 1
        if connection.effort > self._limits.effort:
            reason = "this sidecar sends more than a node reads from one in a heartbeat"
            self._refusals.refuse(connection, codes.TOO_MANY_REQUESTS, reason, retry_ms=self._refusals.jitter(10_000))
        elif isinstance(message, m.Pong):
            pass
        elif isinstance(message, m.Ping):
            connection.send(connection.protocol.send_pong(m.Pong(message.n)))
        elif isinstance(message, m.Receipt):
            self._hub.receipt(connection.subscriber, message, self._clock.wall_ms())
        elif isinstance(message, m.Hello):
            self._begin(connection, self._greet, message)
        elif isinstance(message, m.Token):
            if connection.task is None:  # one at a time; the next attempt of the sidecar is not far
                self._begin(connection, self._renew, message)
        elif isinstance(message, m.Bye):
            self._unsubscribe(connection, left=True)
            connection.hang_up()

    def broken(self, connection: Connection, rule: str) -> None:
        """It did not speak our protocol; there is no answer that it would understand."""
        self.counters["broken"] += 1
        self._refusals.note(connection, codes.INVALID, rule)
        connection.abort()

    def drained(self, connection: Connection) -> None:
        if connection.subscriber:
            self._hub.drained(connection.subscriber, connection.waiting)
            if self._hub.busy:
                self._wake()

    def lost(self, connection: Connection) -> None:
        self._roster.remove(connection)
        if connection.task is not None:
            connection.task.cancel()
        self._unsubscribe(connection)
        if self._empty is not None and not self._roster.count:
            self._empty.set()

    # -- greeting --------------------------------------------------------------------------------------------------

    def _begin(
        self, connection: Connection, handle: Callable[[Connection, _Said], Awaitable[None]], said: _Said
    ) -> None:
        connection.task = asyncio.get_running_loop().create_task(self._guarded(connection, handle, said))

    async def _guarded(
        self, connection: Connection, handle: Callable[[Connection, _Said], Awaitable[None]], said: _Said
    ) -> None:
        """Turns what verifying and waiting raise into the answer the sidecar gets."""
        try:
            await handle(connection, said)
        except Rejected as error:
            self._refusals.refuse(connection, error.code, error.message, error.hint)
        except Retry as error:
            self._refusals.unavailable(connection, error.message, error.hint, int(error.after * 1000))
        except Exception as error:  # a stranger's token must not be able to stop the door
            log.error("greeting failed: %s", type(error).__name__)
            self._refusals.unavailable(connection, f"{self._node} could not check the token")
        finally:
            connection.task = None

    async def _greet(self, connection: Connection, hello: m.Hello) -> None:
        identity, version = await self._door.admit(hello)
        connection.namespace = sys.intern(identity.namespace)
        connection.serviceaccount = sys.intern(identity.serviceaccount)
        connection.pod = identity.pod or hello.pod
        connection.expires = identity.expires
        connection.token = hello.token
        try:
            await self._door.catch_up(hello)
        except Retry as error:
            if error.code != codes.BEHIND:
                raise
            self.counters["behind"] += 1
            self._hub.turned_away(self._asked(connection, hello), hello.index, error.code, self._clock.wall_ms())
            self._refusals.unavailable(connection, error.message, error.hint, LATER_MS, error.code)
        if not (connection.lost or connection.closing):
            self._welcome(connection, hello, version)

    def _settled(self) -> bool:
        return self.now >= self._settle_until or not self._stale()

    def _index(self) -> int:
        return max(self._applied_index(), self._hub.index)

    def _welcome(self, connection: Connection, hello: m.Hello, version: int) -> None:
        if self._roster.streams_of_pod(connection) >= self._limits.per_pod:
            message = f"this pod has {self._limits.per_pod} streams to {self._node} already"
            self._refusals.refuse(connection, codes.TOO_MANY_REQUESTS, message, retry_ms=self._refusals.jitter(10_000))
            return
        self._hub.set_stale(self._stale())
        heartbeat = round(self._limits.heartbeat * 1000)
        welcome = m.Welcome(
            version, self._node, self._index(), heartbeat, self._hub.stale, self._cluster, self._store()
        )
        frame = connection.protocol.send_welcome(welcome)
        connection.protocol.hello = FORGOTTEN
        self._roster.leave_greeting(connection)
        connection.send(frame)
        number, actions = self._hub.subscribe(self._asked(connection, hello), self._clock.wall_ms())
        self._roster.subscribe(connection, number)
        self.counters["welcomed"] += 1
        self._perform(actions)
        self._wake()

    def _asked(self, connection: Connection, hello: m.Hello) -> Subscription:
        """What a sidecar has of another store counts for nothing: it is sent everything."""
        foreign = self._door.foreign(hello)
        if foreign:
            self.counters["foreign"] += 1
            log.warning("pod %s has the files of another store: it is sent everything", connection.pod)
        return Subscription(
            namespace=connection.namespace,
            serviceaccount=connection.serviceaccount,
            pod=connection.pod,
            instance=hello.instance,
            agent=hello.agent,
            have={} if foreign else hello.have,
            want=frozenset(hello.want),
            mode=hello.mode,
        )

    async def _renew(self, connection: Connection, renewal: m.Token) -> None:
        """A fresh token on the open stream: the same workload, or the stream ends."""
        try:
            identity = await self._door.identify(renewal.token)
        except Retry as error:
            log.warning("a token could not be verified now, the former one stands: %s", error.message)
            return
        same = (identity.namespace, identity.serviceaccount) == (connection.namespace, connection.serviceaccount)
        if not same or (identity.pod is not None and identity.pod != connection.pod):
            self._refusals.refuse(connection, codes.TOKEN_SUBJECT, "the new token speaks for another workload or pod")
            return
        if identity.expires >= connection.expires:
            connection.expires, connection.token = identity.expires, renewal.token
        self.counters["renewed"] += 1

    def _unsubscribe(self, connection: Connection, left: bool = False) -> None:
        if number := self._roster.unsubscribe(connection):
            self._hub.unsubscribe(number, self._clock.wall_ms(), left)

    def _refused(self, connection: Connection) -> None:
        self._roster.leave_greeting(connection)
        self._unsubscribe(connection)

    # -- the hub's work --------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        """A slice of the hub's work; between two slices the loop serves everybody else."""
        self._working = False
        self._perform(self._hub.work(self._clock.wall_ms(), self._applied_index()))
        if self._hub.busy:
            self._wake()

    def _perform(self, actions: list[Action]) -> None:
        touched: dict[int, Connection] = {}
        for action in actions:
            if isinstance(action, Send):
                connection = self._roster.subscribed.get(action.subscriber)
                if connection is not None:
                    connection.queue(action.frame)
                    touched[action.subscriber] = connection
            elif isinstance(action, Unopened):
                log.error("%s version %d cannot be opened: %s", action.name, action.version, action.error)
            elif isinstance(action, Withheld):
                connection = self._roster.subscribed.get(action.subscriber)
                if connection is not None:
                    who = (connection.peer, connection.namespace, connection.serviceaccount, connection.pod)
                    self._audit.withheld(*who, action.code, action.name)
            elif isinstance(action, Close):
                connection = self._roster.subscribed.get(action.subscriber)
                if connection is not None:
                    log.info("stream of pod %s closed: %s", connection.pod, action.reason)
                    self._unsubscribe(connection)
                    connection.abort()
        for number, connection in touched.items():
            connection.flush()
            self._hub.drained(number, connection.waiting)

    def _look(self, wall_ms: int) -> None:
        """Four times a second or so."""
        self._hub.set_stale(self._stale())
        self._hub.tick(wall_ms)
        if self._hub.busy:
            self._wake()
