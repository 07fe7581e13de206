"""What the rest of the node asks of Raft: replicate this, read linearizably, wait for an index.

Why it exists: a caller wants an answer within its deadline, wherever the leader is and whoever becomes it meanwhile.
What it refuses to do: retry past the deadline, call a refusal "lost", or wait for an election that cannot succeed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from node.clock import Clock
from node.errors import Retry
from node.raft import codec
from node.raft.core import Core
from node.raft.frame import APPLIED, READ
from node.raft.membership import name_of
from node.raft.requests import Outcome, Requests
from node.raft.transport import PeerTransport, encode
from node.settings import Settings

# Without a leader for this long, and with no majority in reach, a write is refused as "no quorum" rather than left to
# its deadline: an election takes one to two timeouts.
NO_LEADER_TIMEOUTS = 4
# Pause before asking again after a refusal or an unknown outcome, seconds.
RETRY_LOW, RETRY_HIGH = 0.005, 0.03
EXPIRED = "expired"


class Clients:
    """Callers on this node, and those of other nodes that ask this leader."""

    def __init__(
        self, core: Core, transport: PeerTransport, clock: Clock, settings: Settings, kick: Callable[[], None]
    ) -> None:
        self.core, self.clock, self.settings = core, clock, settings
        self._transport, self._kick = transport, kick
        self._loop = asyncio.get_running_loop()
        self._requests = Requests()
        self._applied_waiters: list[tuple[int, asyncio.Future[None]]] = []
        # Deadline of each request in flight, looked at by every tick: a timer of its own for each would cost more
        # than the rest of a proposal.
        self._deadlines: dict[asyncio.Future[Outcome], float] = {}
        self._leader_seen = clock.now()
        self._leader: str | None = None

    # -- events --------------------------------------------------------------------------------------------------
    def stepped(self) -> None:
        """After each step of the core."""
        leader = self.core.leader
        if leader is not None:
            self._leader_seen = self.clock.now()
        if leader != self._leader:
            # What was asked of the former leader is asked of the next one: it may be frozen, with its connection
            # still open. The request id makes that safe.
            if self._leader is not None:
                self._requests.lost(self._leader)
            self._leader = leader

    def expire(self) -> None:
        """Every tick: end what has passed its deadline."""
        now = self.clock.now()
        for future in [future for future, deadline in self._deadlines.items() if deadline <= now]:
            if not future.done():
                future.set_result((EXPIRED, None))

    def applied(self, index: int) -> None:
        """Everything up to index is applied here."""
        if not self._applied_waiters:
            return
        still: list[tuple[int, asyncio.Future[None]]] = []
        for wanted, future in self._applied_waiters:
            if wanted > index:
                still.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self._applied_waiters = still

    def disconnected(self, member: str) -> None:
        self._requests.lost(member)

    def answer(self, token: Any, outcome: str, value: Any) -> None:
        """The core is done with a request: a caller's future here, or (member, id) of one that was forwarded."""
        if isinstance(token, tuple):
            member, number = token
            frame = encode({"type": "outcome", "id": number, "outcome": outcome, "value": value})
            self._transport.send(member, frame)
        elif not token.done():
            token.set_result((outcome, value))

    def answered(self, member: str, number: int, outcome: str, value: Any) -> None:
        """The leader answered a request that was forwarded."""
        self._requests.answered(member, number, outcome, value)

    # -- asking --------------------------------------------------------------------------------------------------
    async def _ask(self, kind: str, command: bytes, deadline: float) -> Outcome:
        """Hand one request to the leader, wherever it is, and wait for its outcome."""
        core, number = self.core, 0
        if core.leading:
            future: asyncio.Future[Outcome] = self._loop.create_future()
            if kind == "propose":
                core.propose(command, future)
            elif kind == "resize":
                core.resize(codec.unpack(command), future)
            else:
                core.read(future)
            self._kick()
        else:
            assert core.leader is not None
            number, future = self._requests.open(core.leader)
            if not self._transport.send(core.leader, encode({"type": kind, "id": number, "command": command})):
                self._requests.forget(number)
                return ("unreachable", None)
        self._deadlines[future] = deadline
        try:
            return await future
        finally:
            del self._deadlines[future]
            self._requests.forget(number)

    async def _until_leader(self, kind: str, command: bytes, want: str, timeout: float) -> Any:
        """Ask until the outcome is the wanted one; leader changes are tried again within the deadline."""
        deadline = self.clock.now() + timeout
        patience = self.settings.election_max * NO_LEADER_TIMEOUTS
        while self.clock.now() < deadline:
            if self.core.leader is None:
                if self.clock.now() - self._leader_seen > patience and not self._majority_in_reach():
                    raise self._no_quorum()
            else:
                outcome, value = await self._ask(kind, command, deadline)
                if outcome == want:
                    return value
                if outcome == EXPIRED:
                    break
            await asyncio.sleep(self.clock.uniform(RETRY_LOW, RETRY_HIGH))
        if not self.core.has_quorum:
            raise self._no_quorum()
        raise Retry("the cluster did not answer in time", code="unavailable", hint="try again", after=0.5)

    def _voters_in_reach(self) -> int:
        return len(set(self.core.config.voters) & (self.core.connected | {self.core.member}))

    def _majority_in_reach(self) -> bool:
        """An election can succeed: worth waiting for."""
        return self._voters_in_reach() >= self.core.config.quorum

    def _no_quorum(self) -> Retry:
        voters, here = self.core.config.voters, self._voters_in_reach()
        return Retry(
            f"no quorum: {here} of {len(voters)} voters are in reach of {name_of(self.core.member)}",
            code="no_quorum",
            hint="nothing was changed by this refusal; writes work again when a majority of nodes is back",
            after=1.0,
        )

    async def propose(self, command: bytes, timeout: float) -> bytes:
        """Replicate a command and return the state machine's result. The command must carry a request id: it may be
        handed over more than once. Raises Retry (no_quorum, unavailable)."""
        result: bytes = await self._until_leader("propose", command, APPLIED, timeout)
        return result

    async def resize(self, size: int, timeout: float) -> int:
        """Decide the size of the cluster through the log; returns the index of that decision. Raises Retry."""
        index: int = await self._until_leader("resize", codec.pack(size), APPLIED, timeout)
        return index

    async def read_barrier(self, timeout: float) -> int:
        """Linearizable read: returns once everything acknowledged before the call is applied here. Raises Retry."""
        deadline = self.clock.now() + timeout
        index: int = await self._until_leader("read_index", b"", READ, timeout)
        if not await self.wait_applied(index, deadline - self.clock.now()):
            raise Retry("this node is behind", code="unavailable", hint="try again or ask another node", after=0.2)
        return index

    async def wait_applied(self, index: int, timeout: float) -> bool:
        """True once this node has applied index, False if it has not by then."""
        if self.core.last_applied >= index:
            return True
        future: asyncio.Future[None] = self._loop.create_future()
        self._applied_waiters.append((index, future))
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                await future
        except TimeoutError:
            return False
        return True
