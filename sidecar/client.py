"""The thin shell: one loop, one stream at a time, and the session's actions carried out.

Why it exists: somebody has to hold the socket, the clock and the files. Everything that decides is in session.py.
What it refuses to do: decide; log or keep a value. Files are
written in the loop itself: they are in memory, a megabyte takes well under a millisecond, and a thread would cost more
than it saves.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sidecar import credential, memory
from sidecar.actions import Action, Close, Dial, Exit, Log, LookUp, Place, ReadToken, Send, Wait
from sidecar.addresses import Addresses
from sidecar.credential import Credential, CredentialError
from sidecar.dialer import order
from sidecar.files import Files, PlaceError
from sidecar.inventory import Resume
from sidecar.log import log
from sidecar.race import NoneReached, race
from sidecar.render import RenderError
from sidecar.renderer import Plan, Renderer, finish
from sidecar.session import Purpose, Session
from sidecar.settings import Settings
from sidecar.stream import Stream, Trust, connect, explain
from sidecar.told import Told
from sidecar.wire import codes
from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError

AGENT: Final = "safe-sidecar/0.1.0"
FLUSH: Final = 0.25
"""Seconds that a stopping process waits for its goodbye to leave."""
LINGER: Final = 1.0
"""Seconds that a superseded generation stays for readers in the middle of a path, and after which memory that only a
dial or a swap needed is given back, if that was not done just now (memory.rest)."""
EX_SOFTWARE: Final = 70


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _reason(dial: Dial, error: Exception) -> str:
    """Why nobody was reached, in the same words whatever the order in which they were tried."""
    if isinstance(error, CredentialError):
        return str(error)
    if isinstance(error, NoneReached):
        return "; ".join(sorted(f"{route}: {explain(each)}" for route, each in error.errors.items()))
    return f"{', '.join(map(str, dial.nodes))}: {explain(error)}"


class Client:
    """One sidecar process. `run` returns its exit code."""

    def __init__(self, settings: Settings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._instance = os.urandom(8).hex()
        self._own = ""  # the namespace that a node has accepted: it decides where files lie
        self._claimed = ""  # what the token of this dial says
        self._addresses = Addresses()
        self._trust = Trust(settings.ca_file)
        self._stream: Stream | None = None
        self._last: Stream | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._releasing: asyncio.TimerHandle | None = None
        self._released = -math.inf
        self._status: dict[str, Any] = {}
        self._mapped: frozenset[str] = frozenset()
        self._renderer = Renderer(settings.render, files)
        self._placing: asyncio.Task[None] | None = None
        self._told: Told | None = None
        if settings.notify and settings.mode == "run":
            self._told = Told(settings.notify, self._tell_node, files.settled)
        self._exit: asyncio.Future[int]
        self._session: Session

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._exit = loop.create_future()
        self._mapped = memory.mapped_files()
        loop.set_exception_handler(self._crashed)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: self._run(self._session.stop()))
        self._begin()
        code = await self._exit
        self._cancel()
        if self._last is not None and not self._last.ended.done():
            await asyncio.wait([self._last.ended], timeout=FLUSH)
        self._report()
        return code

    def _begin(self) -> None:
        """A session from what the files say; also the way back when somebody has damaged them."""
        found = self._files.recover()
        settings = self._settings
        purpose = Purpose(
            pod=settings.pod,
            instance=self._instance,
            agent=AGENT,
            want=settings.secrets,
            mode=settings.mode,
            deadline=settings.deadline,
            max_staleness=settings.max_staleness,
        )
        resume = Resume(found.versions(), found.floors, found.index, found.complete, found.store, found.former)
        self._session = Session(settings.nodes, purpose, resume)
        if found.secrets:
            log(f"{len(found.secrets)} secrets of an earlier run are in place, index {found.index}")
        if self._told is not None and self._files.owed:
            log("the application may not have been told of the last change yet")
            self._told.swapped(True)
        self._run(self._session.start(time.monotonic(), self._chance()))

    @staticmethod
    def _chance() -> float:
        return int.from_bytes(os.urandom(4), "big") / (1 << 32)  # the module `random` would cost 200 KiB for this line

    # -- events ------------------------------------------------------------------------------------------------------

    def arrived(self, stream: Stream, data: bytes) -> None:
        if stream is not self._stream:
            return
        self._session.heard(time.monotonic())
        try:
            received = stream.protocol.receive_data(data)
        except ProtocolError as error:
            self._close()
            self._run(self._session.lost(time.monotonic(), self._chance(), f"the node broke the protocol: {error}"))
            return
        for message in received:
            if stream is self._stream:
                if isinstance(message, m.Welcome):
                    self._own = self._claimed
                self._run(self._session.received(time.monotonic(), self._chance(), message))

    def broke(self, stream: Stream, reason: str) -> None:
        if stream is self._stream:
            self._stream = None
            self._run(self._session.lost(time.monotonic(), self._chance(), f"stream lost: {reason}"))

    def _woken(self) -> None:
        self._run(self._session.woken(time.monotonic(), self._chance()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crashed(task.get_loop(), {"exception": error})

    def _crashed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A mistake of ours. Where, never with what: messages of exceptions may quote data."""
        error = context.get("exception")
        if isinstance(error, OSError):
            log(f"network: {explain(error)}")  # of a transport that is closing; the session hears of the others
            return
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        where = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in reversed(frames[-6:]))
        log(f"internal error, {type(error).__name__} at {where or 'an unknown place'}; the files in place are kept")
        if not self._exit.done():
            self._exit.set_result(EX_SOFTWARE)

    # -- actions -----------------------------------------------------------------------------------------------------

    def _run(self, actions: list[Action]) -> None:
        for action in actions:
            if self._exit.done():
                return
            self._do(action)
        self._report()

    def _do(self, action: Action) -> None:
        if isinstance(action, Wait):
            self._wait(action.seconds)
        elif isinstance(action, Send):
            if self._stream is not None:
                self._stream.send(action.message)
        elif isinstance(action, Place):
            self._place(action)
        elif isinstance(action, Log):
            log(action.text)
        elif isinstance(action, Dial):
            self._dialing = asyncio.get_running_loop().create_task(self._dial(action))
            self._dialing.add_done_callback(self._ended)
        elif isinstance(action, LookUp):
            self._addresses.refresh(action.nodes)
        elif isinstance(action, Close):
            self._close()
        elif isinstance(action, ReadToken):
            self._read_token()
        elif isinstance(action, Exit):
            log(action.message)
            self._exit.set_result(action.code)

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A millisecond more, since timers of the loop may come a little early and would only ask again.
        later = asyncio.get_running_loop().call_later
        self._timer = None if seconds is None else later(seconds + 0.001, self._woken)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._dialing, self._placing):
            if task is not None:
                task.cancel()
        if self._told is not None:
            self._told.cancel()
        self._close()

    def _close(self) -> None:
        if self._dialing is not None and not self._dialing.done() and self._dialing is not asyncio.current_task():
            self._dialing.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            self._last = stream
            stream.close()

    async def _dial(self, action: Dial) -> None:
        try:
            held = credential.read(self._settings.token_file)
            context = self._trust.context()
            routes = order(await self._addresses.find(action.nodes), action.shunned, action.chance)
            attempt = functools.partial(connect, self, context)
            route, stream = await race(routes, attempt, self._chance())
        except (OSError, ValueError, CredentialError) as error:  # ValueError: a host name that is none
            self._run(self._session.failed(time.monotonic(), self._chance(), _reason(action, error)))
            return
        self._stream, self._claimed = stream, held.namespace
        self._release_later()
        self._run(self._session.connected(time.monotonic(), route, held.token, self._remaining(held)))

    def _place(self, action: Place) -> None:
        """Now, or when its templates are rendered. One whose templates still are is given up for it."""
        if self._placing is not None:
            self._placing.cancel()
            self._placing = None
        try:
            plan = self._renderer.plan(action.changes, self._own, action.floors, action.partial)
        except (RenderError, PlaceError) as error:
            self._place_failed(action, error)
            return
        if not plan.sources:
            self._swap(action, plan)
            return
        self._placing = asyncio.get_running_loop().create_task(self._place_rendered(action, plan))
        self._placing.add_done_callback(self._ended)

    async def _place_rendered(self, action: Place, plan: Plan) -> None:
        failure: RenderError | None = None
        try:
            plan = await finish(plan, self._own)
        except RenderError as error:
            failure = error
        self._placing = None
        if failure is not None:
            self._place_failed(action, failure)
        else:
            self._swap(action, plan)

    def _swap(self, action: Place, plan: Plan) -> None:
        ready = self._files.manifest.complete
        tell = self._told is not None and self._told.concerned(ready)
        write = self._files.remove if action.partial else self._files.apply
        try:
            swapped = write(action, self._own, plan.rendered, tell)
        except PlaceError as error:
            self._place_failed(action, error)
            return
        if swapped:
            self._placed(action, ready)
        self._run(self._session.placed(time.monotonic(), wall_ms(), action, "; ".join(plan.dropped.values())))

    def _place_failed(self, action: Place, error: RenderError | PlaceError) -> None:
        now, wall = time.monotonic(), wall_ms()
        if isinstance(error, RenderError):
            log(f"{error} ({codes.RENDER_FAILED}); the files in place are kept")
            self._run(self._session.place_failed(now, wall, action, codes.RENDER_FAILED, str(error)))
            return
        log(f"{error} ({error.code})")
        if error.damaged:
            self._close()  # the session ends here, and what it had to place; the nodes send it again
            self._begin()
        else:
            self._run(self._session.place_failed(now, wall, action, error.code))

    def _placed(self, action: Place, ready: bool) -> None:
        """`ready`: the first whole set was in place before, so that the application may be running."""
        changed = [
            f"{name} v{secret.version}" if secret else f"{name} removed" for name, secret in action.changes.items()
        ]
        shown = ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
        log(f"placed {shown or 'the first set'} at index {action.index}")
        if self._told is not None and self._files.changed:
            self._told.swapped(ready)
        if old := self._files.superseded:
            asyncio.get_running_loop().call_later(LINGER, self._sweep, old)
        self._release_later()

    def _sweep(self, old: str) -> None:
        if not self._files.sweep(old):
            log(f"{old} cannot be removed: what it holds stays readable")

    def _tell_node(self, error: str, count: int, failed: int) -> None:
        self._run(self._session.notified(time.monotonic(), wall_ms(), error, count, failed))

    def _release_later(self) -> None:
        """Once, however many dials and swaps there were in the meantime."""
        if self._releasing is None:
            loop = asyncio.get_running_loop()
            rest = memory.rest(loop.time() - self._released, self._chance())
            self._releasing = loop.call_later(max(LINGER, rest), self._release)

    def _release(self) -> None:
        self._releasing = None
        self._released = asyncio.get_running_loop().time()
        memory.release(self._mapped)
        self._status = {}  # the status file shows the size of this process; that is what has changed
        self._report()

    @staticmethod
    def _remaining(held: Credential) -> float | None:
        return None if held.expires is None else held.expires - time.time()

    def _read_token(self) -> None:
        try:
            held = credential.read(self._settings.token_file)
        except CredentialError as error:
            log(str(error))
            self._run(self._session.token(time.monotonic(), "", None))
            return
        self._run(self._session.token(time.monotonic(), held.token, self._remaining(held)))

    def _report(self) -> None:
        """The status file, when something in it has changed."""
        status = self._session.status(time.monotonic())
        if status == self._status:
            return
        self._status = status
        at_ms, rss = wall_ms(), memory.resident_kib()
        whole = {"pod": self._settings.pod, "instance": self._instance, **status, "rss_kib": rss, "at_ms": at_ms}
        try:
            self._files.write_status(whole)
        except OSError as error:
            log(f"the status file cannot be written: {explain(error)}")


def run(main: Callable[[], Awaitable[int]]) -> int:
    """`main` on uvloop."""
    import uvloop

    async def inner() -> int:
        return await main()

    return uvloop.run(inner())
