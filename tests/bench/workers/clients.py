"""Many sidecars in one process: the sidecar's own client, session, dialer and files, on one loop.

Started by rows/thousand.py and rows/streams.py, because a thousand real processes are 22 GiB. What is left out of a
real one: the status file, giving memory back after a swap (both are about a process of one's own), signals and the log.
`options`: `file`, which holds `env` of all and `pods` [{pod, token_file, target}]: too much for a command line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import uvloop
from workers import control

from sidecar import client, settings
from sidecar.files import Files
from sidecar.wire.protocol import State

PACE: Final = 32
"""Clients of this process that connect at once in the beginning; not later."""
LOOK: Final = 0.05
PATIENCE: Final = 120.0


class Lean(client.Client):
    """`left`: when its stream was last lost; `back`: when it was taken in after that."""

    left = 0.0
    back = 0.0

    def begin(self) -> None:
        self._exit = asyncio.get_running_loop().create_future()
        self._begin()

    @property
    def greeted(self) -> bool:
        return self._stream is not None and self._stream.protocol.state is State.GREETED

    @property
    def whole(self) -> bool:
        return bool(self._files.manifest.complete)

    def broke(self, stream: Any, reason: str) -> None:
        if self.greeted and stream is self._stream:
            self.left = time.time()
        super().broke(stream, reason)

    def _close(self) -> None:
        if self.greeted:
            self.left = time.time()  # of its own accord: the node was silent
        super()._close()

    def _report(self) -> None:
        if self.left > self.back and self.greeted:
            self.back = time.time()

    def _release_later(self) -> None:
        pass


class Clients:
    def __init__(self, options: dict[str, Any]) -> None:
        client.log = lambda _: None  # type: ignore[assignment]
        self.all = []
        for pod in options["pods"]:
            own = {"SAFE_POD": pod["pod"], "SAFE_TARGET": pod["target"], "SAFE_TOKEN_FILE": pod["token_file"]}
            loaded = settings.load({**options["env"], **own}, "run")
            self.all.append(Lean(loaded, Files(loaded.target, loaded.file_mode)))

    async def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await getattr(self, "do_" + asked.pop("do"))(**asked)
        return found

    async def do_connect(self) -> dict[str, Any]:
        """All of them, until each has its first set."""
        began, waiting = time.monotonic(), list(self.all)
        under_way: list[Lean] = []
        while waiting or under_way:
            under_way = [each for each in under_way if not each.whole]
            while waiting and len(under_way) < PACE:
                under_way.append(waiting.pop())
                under_way[-1].begin()
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"{len(waiting) + len(under_way)} sidecars got no set")
            await asyncio.sleep(0.01)
        return {"seconds": time.monotonic() - began}

    async def do_moved(self, since: float, quiet: float) -> dict[str, Any]:
        """Wait until nobody has been without a stream for `quiet` seconds: the times at which those that lost theirs
        after `since` were back."""
        deadline, calm = time.monotonic() + PATIENCE, 0.0
        while not calm or time.monotonic() - calm < quiet:
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError("not all sidecars came back")
            await asyncio.sleep(LOOK)
            calm = (calm or now) if all(each.greeted for each in self.all) else 0.0
        return {"back": [each.back for each in self.all if each.left >= since]}


async def main() -> None:
    with open(json.loads(sys.argv[1])["file"], encoding="utf-8") as file:
        clients = Clients(json.load(file))
    await control.serve(clients.handle)


if __name__ == "__main__":
    uvloop.run(main())
