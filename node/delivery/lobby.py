"""Who waits at the door before anything was spent on them: (arrivals, first bytes, time) -> who is next, who must go.

Why it exists: a connection that says nothing costs a file descriptor, one that shakes hands costs half a millisecond of
the loop. Were both paced alike, some hundred silent connections a second, from one pod without any right, would keep
every sidecar out. So the silent wait here, many and cheaply, and who has spoken is taken in turns: one of each address.
What it refuses to do: touch a socket or a clock; or let one address, which in a cluster is one pod, take the places of
the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

Peer = TypeVar("Peer")

PATIENCE: Final = 5.0
"""Seconds for the first byte. A sidecar sends it in the same breath as it connects."""
SILENT: Final = 4096
"""Connections of one address that have said nothing. Past it its oldest goes. With 512, 3000 dials of one busy process
threw each other out before they came to speak."""
SILENT_IN_ALL: Final = 8192
"""Past it the oldest of the address that has most of them goes."""
SPOKEN: Final = 4096
"""Connections of one address that wait for their handshake: as many as the kernel's queue holds. Behind an address
translation thousands of sidecars may be one address."""
SHAKING: Final = 64
"""Handshakes of one address under way at once: those that are never finished cost memory until their deadline, and
those of a busy machine may all be finished in one turn of the loop. While 5000 sidecars of one address came back the
slowest PUT took 264 to 550 ms with 256 (six times, in turns), and 214 to 351 with 64; they were back as soon."""


class Lobby(Generic[Peer]):
    """Peers are any hashable thing. `count`: all who wait."""

    def __init__(self) -> None:
        self._silent: dict[str, dict[Peer, float]] = {}
        self._spoken: OrderedDict[str, deque[Peer]] = OrderedDict()
        self._silent_count = 0
        self._spoken_count = 0

    @property
    def count(self) -> int:
        return self._silent_count + self._spoken_count

    def arrived(self, peer: Peer, address: str, now: float) -> Peer | None:
        """One that has said nothing yet. Returns who has to go for it, and is forgotten here."""
        mine = self._silent.setdefault(address, {})
        mine[peer] = now
        self._silent_count += 1
        if len(mine) > SILENT:
            return self._oldest(address)
        if self._silent_count > SILENT_IN_ALL:
            return self._oldest(max(self._silent, key=lambda each: len(self._silent[each])))
        return None

    def spoke(self, peer: Peer, address: str) -> bool:
        """Its first byte is there, whether it had arrived before or has just come. False: there are too many of its
        address, and it is forgotten here."""
        self._forget(peer, address)
        queue = self._spoken.setdefault(address, deque())
        if len(queue) >= SPOKEN:
            return False
        queue.append(peer)
        self._spoken_count += 1
        return True

    def next(self, shaking: Mapping[str, int]) -> tuple[Peer, str] | None:
        """Who shakes hands next, in turns of addresses; `shaking`: handshakes under way by address."""
        address = next((each for each in self._spoken if shaking.get(each, 0) < SHAKING), None)
        if address is None:
            return None
        queue = self._spoken[address]
        peer = queue.popleft()
        self._spoken_count -= 1
        if queue:
            self._spoken.move_to_end(address)
        else:
            del self._spoken[address]
        return peer, address

    def overdue(self, now: float) -> list[Peer]:
        """Those that have said nothing for too long; forgotten here."""
        late = [
            (peer, address)
            for address, mine in self._silent.items()
            for peer, since in mine.items()
            if now - since >= PATIENCE
        ]
        for peer, address in late:
            self._forget(peer, address)
        return [peer for peer, _ in late]

    def clear(self) -> tuple[list[Peer], list[Peer]]:
        """(the silent, those that have spoken), all forgotten."""
        silent = [peer for mine in self._silent.values() for peer in mine]
        spoken = [peer for queue in self._spoken.values() for peer in queue]
        self._silent.clear()
        self._spoken.clear()
        self._silent_count = self._spoken_count = 0
        return silent, spoken

    def _oldest(self, address: str) -> Peer:
        peer = next(iter(self._silent[address]))
        self._forget(peer, address)
        return peer

    def _forget(self, peer: Peer, address: str) -> None:
        mine = self._silent.get(address, {})
        if mine.pop(peer, None) is not None:
            self._silent_count -= 1
            if not mine:
                del self._silent[address]
