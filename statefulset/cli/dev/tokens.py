"""Files that always hold a token which is good for a while, as the kubelet keeps them in a pod.

Why it exists: sidecars and `safe` read their token from a file and expect it to be renewed there.
What it refuses to do: leave a reader with half a token: a new file is renamed over the old one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

RENEW: Final = 0.8
"""Part of its life after which a token is replaced; the kubelet's figure."""


def write(path: Path, text: str) -> None:
    """Replace `path` (0600) in one step. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    temporary.rename(path)


class TokenFiles:
    """Any number of files, each with its maker of tokens. `now` is wall time in seconds: a laptop that slept wakes up
    with tokens that are due."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._due: dict[Path, tuple[float, float, Callable[[float], str]]] = {}

    def add(self, path: Path, lifetime: float, make: Callable[[float], str]) -> None:
        """Write the file now and from now on. `make` takes the lifetime in seconds."""
        with self._lock:
            write(path, make(lifetime))
            self._due[path] = (self._now() + RENEW * lifetime, lifetime, make)

    def remove(self, path: Path) -> None:
        """Renew it no more."""
        with self._lock:
            self._due.pop(path, None)

    def tick(self) -> list[Path]:
        """Renew what is due; returns those. Raises OSError when a file cannot be written."""
        with self._lock:
            renewed = [path for path, (at, _, _) in self._due.items() if self._now() >= at]
            for path in renewed:
                _, lifetime, make = self._due[path]
                write(path, make(lifetime))
                self._due[path] = (self._now() + RENEW * lifetime, lifetime, make)
        return renewed
