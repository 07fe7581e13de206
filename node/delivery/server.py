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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from node.clock import Clock
from node.delivery.acceptor import Acceptor
from node.delivery.audit import Audit
from node.delivery.connection import FORGOTTEN, Connection
from node.delivery.greeting import Door
from node.delivery.hub import Hub
from node.delivery.limits import Limits
from node.delivery.ports import Identity, Record
from node.delivery.receipts import Receipt
from node.delivery.rollout import Standing, concerns, stand
from node.delivery.subscriber import Action, Close, Send, Subscription, Unopened, Withheld
from node.errors import Rejected, Retry
from sidecar.wire import codes
from sidecar.wire import messages as m

_Said = TypeVar("_Said", m.Hello, m.Token)

log = logging.getLogger(__name__)

BUCKETS: Final = 32
"""The timer visits one in 32 streams at a time, so that each is visited once in a heartbeat, and 10 000 of them never
cost one turn of the loop more than some 10 ms."""
LOOK: Final = 4
"""Every fourth visit, four times a second or so, the hub is told the time."""
DRAIN_AT_ONCE: Final = 128
DRAIN_RATE: Final = 1500
"""Sidecars sent away a second. A handshake is about a millisecond of the node that takes them; told all at once, the
last of some thousands would be without a stream for seconds. Until it is told, each of them is served here."""
SLICE: Final = 512
"""Receipts looked at in one turn of the loop."""


def never(token: str, namespace: str, serviceaccount: str) -> bool:
    """Where nobody can be asked."""
    return False


class DeliveryServer:
    """Public: start, changed, set_stale, drain, close, receipts, stats, port. Everything runs on one event loop.

    `verify` raises Rejected (token_* codes) or Retry. `revoked(token, namespace, serviceaccount)`: whether the stream
    begun with this token must end; asked at every visit, so it must not wait. `applied_index`: log index applied here.
    `wait_applied(index, timeout)`: whether it got there in time. `stale`: whether this node has lost touch with the
    majority.
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
    ) -> None:
        self._host, self._wanted_port = host, port
        self._hub = hub
        self._revoked = revoked
        self._applied_index = applied_index
        self._clock = clock
        self._node, self._cluster = node, cluster
        self._stale = stale
        self._limits = limits or Limits()
        self._door = Door(node, verify, self._index, wait_applied, self._settled, self._limits)
        self._audit = Audit(node, clock)
        self._acceptor = Acceptor(lambda: Connection(self), context, self._full)
        self._buckets: tuple[set[Connection], ...] = tuple(set() for _ in range(BUCKETS))
        self._count = 0
        self._numbers = 0
        self._greeting: set[Connection] = set()
        self._greeting_bytes = 0
        self._subscribed: dict[int, Connection] = {}
        self._pods: dict[tuple[str, str, str], int] = {}
        self._timer: asyncio.Task[None] | None = None
        self._working = False
        self._draining = ""
        self._beats = 0
        self._patient_until = 0.0
        self._settle_until = 0.0
        self._empty: asyncio.Event | None = None
        self.now = clock.now()
        self.counters: dict[str, int] = dict.fromkeys(("welcomed", "refused", "broken", "silent", "renewed"), 0)

    # -- what the wiring calls -------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return self._acceptor.port

    async def start(self) -> None:
        """Listens. Raises OSError if the address cannot be had."""
        self.now = self._clock.now()
        self._settle_until = self.now + self._limits.settling
        self._hub.set_stale(self._stale())
        self._hub.collect()
        after = self._hub.rebuild()
        while after:
            await asyncio.sleep(0)
            after = self._hub.rebuild(after)
        self._acceptor.start(self._host, self._wanted_port)
        self._timer = asyncio.get_running_loop().create_task(self._keep_time())
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

    async def rollout(self, record: Record) -> AsyncIterator[Standing]:
        """Where each pod of this node stands with the secret. The loop serves others between two slices of them."""
        numbers, departed = self._hub.subscribers(), self._hub.departed()
        seen: set[tuple[str, str, str]] = set()
        for first in range(0, len(numbers), SLICE):
            for standing in self._stand(record, self._hub.receipts_of(numbers[first : first + SLICE]), seen):
                yield standing
            await asyncio.sleep(0)
        # Of those that came or went meanwhile none is left out, and none is there twice.
        for standing in self._stand(record, [*self._hub.departed(), *departed], seen):
            yield standing

    def _stand(self, record: Record, receipts: Iterable[Receipt], seen: set[tuple[str, str, str]]) -> list[Standing]:
        wall_ms, stale = self._clock.wall_ms(), self._stale()
        found = []
        for receipt in receipts:
            if receipt.key not in seen:
                seen.add(receipt.key)
                if concerns(record, receipt):
                    found.append(stand(record, receipt, wall_ms, stale))
        return found

    def stats(self) -> dict[str, int]:
        """Numbers for metrics."""
        return {
            "connections": self._count,
            "subscribers": len(self._subscribed),
            "handshakes": self._acceptor.shaking,
            "handshakes_failed": self._acceptor.failed,
            "dropped": self._acceptor.dropped,
            **self.counters,
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
        for told, connection in enumerate([each for bucket in self._buckets for each in bucket], 1):
            if connection.greeted():
                connection.say_goodbye(frame, self._clock.now())
                connection.protocol.close()
            else:
                self._refuse_unavailable(connection, f"{self._node} is stopping: {reason}")
            if not told % DRAIN_AT_ONCE:
                await asyncio.sleep(DRAIN_AT_ONCE / DRAIN_RATE)
        self._empty = asyncio.Event()
        if self._count:
            try:
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("%d sidecars had not left after %g s", self._count, timeout)
        return self._abort_all()

    async def close(self) -> None:
        """Ends everything at once. After `drain`, or instead of it."""
        self._acceptor.close()
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
            self._timer = None
        self._abort_all()
        await asyncio.sleep(0)

    def _abort_all(self) -> int:
        connections = [each for bucket in self._buckets for each in bucket]
        for connection in connections:
            connection.abort()
        return len(connections)

    # -- what a connection calls -----------------------------------------------------------------------------------

    def _full(self, shaking: int) -> bool:
        return self._count + shaking > self._limits.connections + 1024

    def opened(self, connection: Connection) -> None:
        self._numbers += 1
        self._count += 1
        connection.number = self._numbers
        connection.opened = connection.heard = self.now
        self._buckets[connection.number % BUCKETS].add(connection)
        self._greeting.add(connection)
        if self._draining:
            self._refuse_unavailable(connection, f"{self._node} is stopping: {self._draining}")
        elif self._count > self._limits.connections:
            self._refuse_unavailable(connection, f"{self._node} has {self._limits.connections} connections already")

    def allowed(self, connection: Connection, size: int) -> bool:
        """Whether these bytes may be parsed: what strangers send is bounded for all of them together."""
        if connection.closing:
            return False
        connection.effort += size >> 12
        if connection not in self._greeting:
            return True
        connection.greeting_bytes += size
        self._greeting_bytes += size
        if self._greeting_bytes <= self._limits.greeting_bytes:
            return True
        self._refuse_unavailable(connection, f"{self._node} is greeting too many at once")
        return False

    def received(self, connection: Connection, message: m.ClientMessage) -> None:
        connection.effort += 1
        if connection.effort > self._limits.effort:
            reason = "this sidecar sends more than a node reads from one in a heartbeat"
            self._refuse(connection, codes.TOO_MANY_REQUESTS, reason, retry_ms=self._jitter(10_000))
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
        self._write_refusal(connection, codes.INVALID, rule)
        connection.abort()

    def drained(self, connection: Connection) -> None:
        if connection.subscriber:
            self._hub.drained(connection.subscriber, connection.waiting)
            if self._hub.busy:
                self._wake()

    def lost(self, connection: Connection) -> None:
        self._count -= 1
        self._buckets[connection.number % BUCKETS].discard(connection)
        self._leave_greeting(connection)
        if connection.task is not None:
            connection.task.cancel()
        self._unsubscribe(connection)
        if self._empty is not None and not self._count:
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
            self._refuse(connection, error.code, error.message, error.hint)
        except Retry as error:
            self._refuse_unavailable(connection, error.message, error.hint, int(error.after * 1000))
        except Exception as error:  # a stranger's token must not be able to stop the door
            log.error("greeting failed: %s", type(error).__name__)
            self._refuse_unavailable(connection, f"{self._node} could not check the token")
        finally:
            connection.task = None

    async def _greet(self, connection: Connection, hello: m.Hello) -> None:
        identity, version = await self._door.admit(hello)
        connection.namespace = sys.intern(identity.namespace)
        connection.serviceaccount = sys.intern(identity.serviceaccount)
        connection.pod = identity.pod or hello.pod
        connection.expires = identity.expires
        connection.token = hello.token
        if not (connection.lost or connection.closing):
            self._welcome(connection, hello, version)

    def _settled(self) -> bool:
        return self.now >= self._settle_until or not self._stale()

    def _index(self) -> int:
        return max(self._applied_index(), self._hub.index)

    def _welcome(self, connection: Connection, hello: m.Hello, version: int) -> None:
        pod = (connection.namespace, connection.serviceaccount, connection.pod)
        if self._pods.get(pod, 0) >= self._limits.per_pod:
            message = f"this pod has {self._limits.per_pod} streams to {self._node} already"
            self._refuse(connection, codes.TOO_MANY_REQUESTS, message, retry_ms=self._jitter(10_000))
            return
        self._hub.set_stale(self._stale())
        heartbeat = round(self._limits.heartbeat * 1000)
        welcome = m.Welcome(version, self._node, self._index(), heartbeat, self._hub.stale, self._cluster)
        frame = connection.protocol.send_welcome(welcome)
        connection.protocol.hello = FORGOTTEN
        self._leave_greeting(connection)
        connection.send(frame)
        asked = Subscription(
            namespace=connection.namespace,
            serviceaccount=connection.serviceaccount,
            pod=connection.pod,
            instance=hello.instance,
            agent=hello.agent,
            have=hello.have,
            want=frozenset(hello.want),
            mode=hello.mode,
        )
        number, actions = self._hub.subscribe(asked, self._clock.wall_ms())
        connection.subscriber = number
        self._subscribed[number] = connection
        self._pods[pod] = self._pods.get(pod, 0) + 1
        self.counters["welcomed"] += 1
        self._perform(actions)
        self._wake()

    async def _renew(self, connection: Connection, renewal: m.Token) -> None:
        """A fresh token on the open stream: the same workload, or the stream ends."""
        try:
            identity = await self._door.identify(renewal.token)
        except Retry as error:
            log.warning("a token could not be verified now, the former one stands: %s", error.message)
            return
        same = (identity.namespace, identity.serviceaccount) == (connection.namespace, connection.serviceaccount)
        if not same or (identity.pod is not None and identity.pod != connection.pod):
            self._refuse(connection, codes.TOKEN_SUBJECT, "the new token speaks for another workload or pod")
            return
        if identity.expires >= connection.expires:
            connection.expires, connection.token = identity.expires, renewal.token
        self.counters["renewed"] += 1

    def _leave_greeting(self, connection: Connection) -> None:
        self._greeting.discard(connection)
        self._greeting_bytes -= connection.greeting_bytes
        connection.greeting_bytes = 0

    def _unsubscribe(self, connection: Connection, left: bool = False) -> None:
        number, connection.subscriber = connection.subscriber, 0
        if not number:
            return
        self._hub.unsubscribe(number, self._clock.wall_ms(), left)
        self._subscribed.pop(number, None)
        pod = (connection.namespace, connection.serviceaccount, connection.pod)
        others = self._pods.get(pod, 0) - 1
        if others > 0:
            self._pods[pod] = others
        else:
            self._pods.pop(pod, None)

    # -- refusing --------------------------------------------------------------------------------------------------

    def _jitter(self, base_ms: int) -> int:
        """Spread, so that those refused together do not come back together."""
        return round(self._clock.uniform(0.5 * base_ms, 1.5 * base_ms))

    def _refuse_unavailable(self, connection: Connection, message: str, hint: str = "", after_ms: int = 0) -> None:
        hint = hint or "the sidecar tries another node by itself"
        self._refuse(connection, codes.UNAVAILABLE, message, hint, self._jitter(after_ms or self._limits.retry_ms))

    def _refuse(self, connection: Connection, code: str, message: str, hint: str = "", retry_ms: int = 0) -> None:
        if connection.lost or connection.closing or connection.protocol.closed():
            return
        self.counters["refused"] += 1
        self._write_refusal(connection, code, message)
        refused = m.Refused(
            code[: m.MAX_WORD], message[: m.MAX_TEXT], hint[: m.MAX_TEXT], min(retry_ms, m.MAX_DELAY_MS)
        )
        connection.say_goodbye(connection.protocol.send_refused(refused), self.now)
        self._leave_greeting(connection)
        self._unsubscribe(connection)

    def _write_refusal(self, who: Connection, code: str, reason: str) -> None:
        self._audit.refused(who.peer, who.namespace, who.serviceaccount, who.pod, code, reason)

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
                connection = self._subscribed.get(action.subscriber)
                if connection is not None:
                    connection.queue(action.frame)
                    touched[action.subscriber] = connection
            elif isinstance(action, Unopened):
                log.error("%s version %d cannot be opened: %s", action.name, action.version, action.error)
            elif isinstance(action, Withheld):
                connection = self._subscribed.get(action.subscriber)
                if connection is not None:
                    who = (connection.peer, connection.namespace, connection.serviceaccount, connection.pod)
                    self._audit.withheld(*who, action.code, action.name)
            elif isinstance(action, Close):
                connection = self._subscribed.get(action.subscriber)
                if connection is not None:
                    log.info("stream of pod %s closed: %s", connection.pod, action.reason)
                    self._unsubscribe(connection)
                    connection.abort()
        for number, connection in touched.items():
            connection.flush()
            self._hub.drained(number, connection.waiting)

    # -- time ------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """The one timer. What it meets in one connection does not stop it for the others."""
        interval = self._limits.heartbeat / BUCKETS
        while True:
            await asyncio.sleep(interval)
            try:
                self._tick(interval)
            except Exception:
                log.exception("the delivery timer stumbled")

    def _tick(self, interval: float) -> None:
        before, self.now = self.now, self._clock.now()
        if self.now - before > interval + self._limits.heartbeat / 2:
            # This process was held up (suspended, starved): it is not the sidecars that were silent.
            self._patient_until = self.now + self._limits.heartbeat * self._limits.silent
        self._beats += 1
        wall_ms = self._clock.wall_ms()
        if not self._beats % LOOK:
            self._hub.set_stale(self._stale())
            self._hub.tick(wall_ms)
            if self._hub.busy:
                self._wake()
        for connection in [each for each in self._greeting if self.now - each.opened > self._limits.greeting]:
            if connection.task is None and not connection.closing:
                self._refuse(connection, codes.UNAUTHENTICATED, "no HELLO within the time for it")
        ping = m.pack(m.Ping(self._beats))
        for connection in list(self._buckets[self._beats % BUCKETS]):
            self._visit(connection, wall_ms, ping)

    def _visit(self, connection: Connection, wall_ms: int, ping: bytes) -> None:
        """Once a heartbeat for every connection."""
        connection.effort = 0
        if connection.closing:
            if self.now - connection.closing > self._limits.heartbeat * 2:
                connection.abort()
        elif connection.subscriber:
            waiting = connection.waiting
            patience = self._limits.stuck if waiting else self._limits.heartbeat * self._limits.silent
            if self.now - connection.heard > patience and self.now >= self._patient_until:
                self.counters["silent"] += 1
                log.info("pod %s was silent for %.1f s", connection.pod, self.now - connection.heard)
                connection.abort()
            elif wall_ms >= (connection.expires + self._limits.leeway) * 1000:
                hint = "the sidecar reads its token file again before it dials"
                self._refuse(connection, codes.TOKEN_EXPIRED, "the token of this stream has expired", hint)
            elif self._revoked(connection.token, connection.namespace, connection.serviceaccount):
                hint = "its pod or service account was deleted; a new pod has a new token"
                self._refuse(connection, codes.TOKEN_REVOKED, "the cluster does not accept this token any more", hint)
            elif not waiting:
                connection.send(ping)
