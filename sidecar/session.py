"""What a sidecar does next: the pure core of the client.

Why it exists: which node to dial, what to accept, when to give up on a silent peer and when to write files are rules
about order and time, and rules are only trusted when every order can be tried. Each method takes one event with the
time (monotonic seconds) and, where it spreads a delay, a chance from 0 to 1; it returns the actions to carry out, in
order, the last being the Wait until `woken` must be called.
What it refuses to do: touch sockets, files or clocks. What the set becomes is inventory.py's to say, when it is written
placing.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.actions import Action, Close, Dial, Exit, Log, LookUp, Place, ReadToken, Send, Wait
from sidecar.credential import CHECK_MIN, next_look
from sidecar.dialer import SPREAD, Dialer, Route
from sidecar.inventory import MAX_PENDING, Inventory, Resume
from sidecar.placing import REPLACE, Placing
from sidecar.settings import Node
from sidecar.wire import codes, names
from sidecar.wire import messages as m
from sidecar.wire.protocol import VERSIONS

GREETING: Final = 5.0
"""Seconds from HELLO to WELCOME. A node may wait 2 s for a log index before it answers."""
LIVED: Final = 1.0
"""A stream that lasted so long was good: when it breaks, another node is dialled at once, without back-off. A shorter
one keeps the back-off, or a node that dies of our HELLO would be dialled in a tight loop."""
OVERDUE: Final = 1.1
"""In heartbeats. A node pings when idle for one; after this the client asks by a PING of its own..."""
SILENT: Final = 1.3
"""...and leaves after this: with the default heartbeat of 1.5 s, 2 s after the last sign of life. Sooner than the three
intervals a node grants its clients, because leaving costs a sidecar nothing, and 3 s is what a silent partition may
cost altogether."""
ANSWER: Final = 0.15
"""In heartbeats: what the answer to the PING gets at least, also when that was late."""
REPEAT: Final = 60.0
"""Seconds before a failure that persists is logged again."""
MAX_TOLD: Final = 64
"""Different failures remembered as logged: one a node of SAFE_NODES."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Who this sidecar is and what it is for. `deadline`: seconds an init run may take (ignored in mode run)."""

    pod: str
    instance: str
    agent: str
    want: tuple[str, ...] = ()
    mode: str = "run"
    deadline: float = 60.0
    max_staleness: float = 0.0


class Session:
    """One sidecar's life across any number of streams. See the module docstring for the calling convention."""

    def __init__(self, nodes: tuple[Node, ...], purpose: Purpose, resume: Resume) -> None:
        self._purpose = purpose
        self._set = Inventory(purpose.want, resume)
        self._placing = Placing(self._set)
        self._nodes = nodes
        self._dialer = Dialer(nodes)
        self._phase = "idle"  # idle, dialing, greeting, live
        self._dial_at: float | None = None
        self._since = 0.0  # when the phase began
        self._heard = 0.0
        self._pinged = False
        self._pinged_at = 0.0
        self._pings = 0
        self._heartbeat = 2.0
        self._node = ""
        self._stale = False
        self._token = ""
        self._token_at: float | None = None
        self._deadline: float | None = None
        self._last_live = 0.0
        self._fresh_at = 0.0  # last moment in touch with the majority, while not so now
        self._notify = m.Report()  # its notify fields: what became of the last notification
        self._told_stale = False
        self._refusal = ""  # why nothing is taken from the node that was reached last
        self._trouble = ""  # the last failure in words
        self._told: dict[str, float] = {}

    # -- what others may ask ---------------------------------------------------------------------------------------

    @property
    def held(self) -> Mapping[str, int]:
        """Versions in the files."""
        return self._set.held

    @property
    def index(self) -> int:
        """The highest log index taken."""
        return self._set.index

    def status(self, now: float) -> dict[str, Any]:
        """For the status file: names, versions and codes, never values."""
        live = self._phase == "live"
        return {
            "mode": self._purpose.mode,
            "connected": live,
            "node": self._node if live else "",
            "stale": self._stale or not live,
            "too_stale": self._too_stale(now),
            "complete": self._set.complete,
            "index": self._set.placed_index,
            "secrets": dict(sorted(self._set.held.items())),
            "store": self._set.store,
            "former": sorted(self._set.former),
            "missing": {name: self._set.why(name) for name in self._set.missing()},
            "error": self._placing.error or self._refusal,
            "render": self._placing.render,
            "notify": self._notify.notify,
            "notified": self._notify.notified,
            "notify_failed": self._notify.notify_failed,
            "trouble": self._trouble,
        }

    # -- events ----------------------------------------------------------------------------------------------------

    def start(self, now: float, chance: float) -> list[Action]:
        """Once, first. `chance` chooses the node to begin with, so that a thousand sidecars spread over all."""
        self._last_live = self._fresh_at = now
        if self._purpose.mode == "init":
            self._deadline = now + self._purpose.deadline
        return self._end(now, [self._dial(now, chance)])

    def connected(self, now: float, route: Route, token: str, remaining: float | None) -> list[Action]:
        """TLS stands. `token` was read for this dial and is good for `remaining` more seconds (None: unsaid)."""
        self._dialer.reached(route)
        self._enter("greeting", now)
        self._token, self._token_at = token, now + next_look(remaining)
        hello = m.Hello(
            versions=VERSIONS,
            token=token,
            pod=self._purpose.pod,
            instance=self._purpose.instance,
            agent=self._purpose.agent,
            index=self._set.index,
            have=self._set.greet(),
            want=self._purpose.want,
            mode=self._purpose.mode,
            store=self._set.store,
        )
        return self._end(now, [Send(hello)])

    def failed(self, now: float, chance: float, reason: str) -> list[Action]:
        """A Dial did not lead to a stream."""
        return self._end(now, self._retreat(now, chance, reason))

    def lost(self, now: float, chance: float, reason: str) -> list[Action]:
        """The stream broke."""
        return self._end(now, self._leave(now, chance, reason))

    def heard(self, now: float) -> None:
        """Bytes arrived, be it half a message: the node lives."""
        self._heard, self._pinged = now, False

    def received(self, now: float, chance: float, message: m.NodeMessage) -> list[Action]:
        """A message, in the order the wire allows (sidecar.wire.protocol sees to that)."""
        actions: list[Action] = []
        if isinstance(message, m.Secret):
            actions = self._secret(now, chance, message)
        elif isinstance(message, m.Gone):
            self._set.gone(message)
        elif isinstance(message, m.Sync):
            actions = self._sync(now, chance, message)
        elif isinstance(message, m.Ping):
            actions = [Send(m.Pong(message.n))]
        elif isinstance(message, m.Stale):
            actions = self._set_stale(now, message.stale)
        elif isinstance(message, m.Denied):
            actions = self._deny(message)
        elif isinstance(message, m.Welcome):
            actions = self._welcome(now, chance, message)
        elif isinstance(message, m.Goaway):
            actions = self._goaway(now, chance, message)
        elif isinstance(message, m.Refused):
            actions = self._refused(now, chance, message)
        return self._end(now, actions)

    def placed(self, now: float, wall_ms: int, place: Place, dropped: str = "") -> list[Action]:
        """This Place is in the files. Others may have been asked for meanwhile. `dropped`: the rendered files that went
        with a secret that was taken away."""
        following = self._placing.placed(now, place, dropped)
        return self._end(now, [*self._receipt(now, wall_ms), *self._finished(place), *following])

    def place_failed(self, now: float, wall_ms: int, place: Place, code: str, render: str = "") -> list[Action]:
        """This Place is not in the files, and what was there before still is. What a node took away goes by itself.

        `render`: the file that could not be made, and why, if that is the reason; never with a value.
        """
        following = self._placing.failed(now, place, code, render)
        return self._end(now, [*self._receipt(now, wall_ms), *following])

    def notified(self, now: float, wall_ms: int, error: str, count: int, failed: int) -> list[Action]:
        """What became of telling the application; how often it was told and how often in vain."""
        self._notify = m.Report(notify=error[: m.MAX_TEXT], notified=count, notify_failed=failed)
        return self._end(now, self._receipt(now, wall_ms))

    def token(self, now: float, token: str, remaining: float | None) -> list[Action]:
        """The token file, read again; "" if it could not be."""
        self._token_at = now + (next_look(remaining) if token else CHECK_MIN)
        if not token or token == self._token or self._phase != "live":
            return self._end(now, [])
        self._token = token
        return self._end(now, [Send(m.Token(token)), Log("token renewed on the open stream")])

    def stop(self) -> list[Action]:
        """The pod ends: say goodbye, leave the files."""
        return [*self._goodbye(), Exit(0, "stopped")]

    def woken(self, now: float, chance: float) -> list[Action]:
        """The time of the last Wait has come (or not: early calls do no harm)."""
        if self._deadline is not None and now >= self._deadline:
            return self._too_late()
        actions = [*self._report_staleness(now), *self._placing.woken(now)]
        if self._phase == "live":
            actions += self._pulse(now, chance)
        elif self._phase == "greeting" and now >= self._since + GREETING:
            self._dialer.shun(now)
            actions += [Close(), *self._retreat(now, chance, f"{self._dialer.current} did not answer the greeting")]
        elif self._phase == "idle" and self._dial_at is not None and now >= self._dial_at:
            actions.append(self._dial(now, chance))
        return self._end(now, actions)

    # -- the stream ------------------------------------------------------------------------------------------------

    def _enter(self, phase: str, now: float) -> None:
        self._phase, self._since, self._heard, self._pinged, self._dial_at = phase, now, now, False, None

    def _dial(self, now: float, chance: float) -> Action:
        self._enter("dialing", now)
        return Dial(self._nodes, self._dialer.shunned(now), chance)

    def _retreat(self, now: float, chance: float, reason: str, at_least: float = 0.0) -> list[Action]:
        """Back to idle; the next node after the back-off."""
        self._drop(now)
        self._dial_at = now + max(self._dialer.back_off(chance), at_least)
        return self._tell(now, reason)

    def _leave(self, now: float, chance: float, reason: str) -> list[Action]:
        """A stream is over: another node at once if it was a good one."""
        self._dialer.shun(now)
        if self._phase != "live" or now - self._since < LIVED:
            return self._retreat(now, chance, reason)
        self._drop(now)
        self._dialer.succeeded()
        self._dial_at = now + SPREAD * chance
        return self._tell(now, reason)

    def _drop(self, now: float) -> None:
        if self._phase == "live":
            self._last_live = now
            if not self._stale:
                self._fresh_at = now
        self._set.drop()
        self._enter("idle", now)

    def _welcome(self, now: float, chance: float, welcome: m.Welcome) -> list[Action]:
        self._set.meet(welcome.store)
        if welcome.index < self._set.index and not self._set.another:
            return self._behind(now, chance, welcome.node, welcome.index)
        self._enter("live", now)
        self._dialer.welcomed()
        self._node, self._heartbeat = welcome.node or str(self._dialer.current), welcome.heartbeat_ms / 1000
        self._told.clear()
        self._refusal, self._trouble, self._told_stale = "", "", False
        return [Log(f"connected to {self._node} at index {welcome.index}"), *self._set_stale(now, welcome.stale)]

    def _behind(self, now: float, chance: float, node: str, index: int) -> list[Action]:
        """Older than what we have: nothing of it may reach the files, whatever this node believes."""
        self._refusal = codes.BEHIND
        self._dialer.shun(now)
        reason = f"{node or self._dialer.current} is at index {index}, behind the {self._set.index} seen here"
        reason += "; if every node is, it was restored from an older backup: recreate the pod, its files stay till then"
        return [*self._goodbye(), *self._retreat(now, chance, reason)]

    def _goaway(self, now: float, chance: float, goaway: m.Goaway) -> list[Action]:
        self._dialer.shun(now, goaway.avoid_ms / 1000)
        return [Close(), *self._leave(now, chance, f"{self._node} asks to go elsewhere: {goaway.reason}")]

    def _refused(self, now: float, chance: float, refused: m.Refused) -> list[Action]:
        self._refusal = refused.code
        self._dialer.shun(now)
        pause, final = self._dialer.refused(refused.retry_ms / 1000, chance)
        hint = f"; {refused.hint}" if refused.hint else ""
        reason = f"{self._dialer.current} refuses: {refused.message} ({refused.code}){hint}"
        actions: list[Action] = [Close(), *self._retreat(now, chance, reason, pause)]
        if final and self._purpose.mode == "init":
            actions.append(Exit(1, reason))
        return actions

    def _pulse(self, now: float, chance: float) -> list[Action]:
        """A live stream when time has passed: its heartbeat, and the token."""
        actions: list[Action] = []
        quiet = now - self._heard
        if self._pinged and now >= self._silent_at():
            return [Close(), *self._leave(now, chance, f"{self._node} was silent for {quiet:.1f} s")]
        if quiet >= OVERDUE * self._heartbeat and not self._pinged:
            self._pinged, self._pinged_at, self._pings = True, now, self._pings + 1
            actions += [Send(m.Ping(self._pings)), LookUp(self._nodes)]
        if self._token_at is not None and now >= self._token_at:
            self._token_at = None
            actions.append(ReadToken())
        return actions

    def _silent_at(self) -> float:
        """When to leave: only after a PING that had its time. A process that was held up itself (suspended, starved)
        has the node's words still unread, and thousands that leave for nothing are a crowd."""
        return max(self._heard + SILENT * self._heartbeat, self._pinged_at + ANSWER * self._heartbeat)

    def _goodbye(self) -> list[Action]:
        if self._phase in ("greeting", "live"):
            return [Send(m.Bye()), Close()]
        return [Close()]

    # -- what a node says of secrets -------------------------------------------------------------------------------

    def _secret(self, now: float, chance: float, secret: m.Secret) -> list[Action]:
        if self._set.secret(secret):
            return []
        self._refusal = codes.TOO_LARGE
        reason = f"the node sends more than {MAX_PENDING} bytes or {names.MAX_SECRETS} secrets; name those you need"
        return [*self._goodbye(), *self._retreat(now, chance, reason, REPLACE)]

    def _sync(self, now: float, chance: float, sync: m.Sync) -> list[Action]:
        if sync.index < self._set.index and not self._set.another:
            return self._behind(now, chance, self._node, sync.index)
        actions = self._set_stale(now, sync.stale)
        return [*actions, *map(Log, self._set.commit(sync)), *self._placing.committed(now)]

    def _set_stale(self, now: float, stale: bool) -> list[Action]:
        if stale == self._stale:
            return []
        self._stale = stale
        if stale and self._since < now:
            self._fresh_at = now
        if stale:
            return [Log(f"{self._node} has no quorum: what it delivers may not be the newest")]
        return [Log(f"{self._node} is in touch with the majority again")]

    def _deny(self, denied: m.Denied) -> list[Action]:
        if not self._set.deny(denied):
            return []
        return [Log(f"{denied.name} is not served: {denied.message} ({denied.code})")]

    # -- receipts --------------------------------------------------------------------------------------------------

    def _receipt(self, now: float, wall_ms: int) -> list[Action]:
        if self._phase != "live" or self._set.another:
            return []  # nobody to tell, or one of another store: its versions are none of ours yet
        stale_ms = max(0, int((now - self._fresh_at) * 1000)) if self._stale else 0
        report = replace(self._notify, render=self._placing.render, staleness_ms=stale_ms)
        return [Send(m.Receipt(self._set.placed_index, self._set.vouched(), self._placing.error, wall_ms, report))]

    # -- the ends of an init run, and the clock ----------------------------------------------------------------------

    def _finished(self, place: Place) -> list[Action]:
        if self._purpose.mode != "init" or place.partial or not self._set.full or self._set.pending:
            return []
        if self._set.missing():
            return [Log(f"waiting for {self._set.why_missing()}")]
        if self._placing.dropped:
            return []  # a file that the application was promised; a grant may be on its way
        return [*self._goodbye(), Exit(0, f"{len(self._set.held)} secrets in place")]

    def _too_late(self) -> list[Action]:
        waited = f"after {self._purpose.deadline:g} s"
        also = f"; missing: {self._set.why_missing()}" if self._set.missing() else ""
        if self._placing.error or self._placing.dropped:
            failure = self._placing.render or self._placing.error
            end = Exit(1, f"the files could not be written {waited}: {failure}{also}")
        elif self._set.full and self._set.missing():
            end = Exit(1, f"still missing {waited}: {self._set.why_missing()}")
        elif self._dialer.refusals:
            end = Exit(1, f"{waited}: {self._trouble}")
        else:
            end = Exit(3, f"no node served this pod {waited}: {self._trouble or 'no answer'}")
        return [*self._goodbye(), end]

    def _too_stale(self, now: float) -> bool:
        limit = self._purpose.max_staleness
        return bool(limit) and self._phase != "live" and now - self._last_live >= limit

    def _report_staleness(self, now: float) -> list[Action]:
        if self._told_stale or not self._too_stale(now):
            return []
        self._told_stale = True
        return [Log(f"no node reached for {self._purpose.max_staleness:g} s; the files in place are kept")]

    def _tell(self, now: float, reason: str) -> list[Action]:
        """A failure, said once, and once a minute while it stays the same."""
        self._trouble = reason
        if reason in self._told and now - self._told[reason] < REPEAT:
            return []
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[reason] = now
        return [Log(reason)]

    def _end(self, now: float, actions: list[Action]) -> list[Action]:
        if any(isinstance(action, Exit) for action in actions):
            return actions
        times = [self._deadline, self._placing.due, self._dial_at]
        if self._phase == "live":
            overdue_at = self._heard + OVERDUE * self._heartbeat
            times += [self._silent_at() if self._pinged else overdue_at, self._token_at]
        elif self._phase == "greeting":
            times.append(self._since + GREETING)
        if self._purpose.max_staleness and not self._told_stale and self._phase != "live":
            times.append(self._last_live + self._purpose.max_staleness)
        soonest = min((at for at in times if at is not None), default=None)
        return [*actions, Wait(None if soonest is None else max(0.0, soonest - now))]
