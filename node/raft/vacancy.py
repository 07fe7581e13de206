"""Waits for an earlier process of this pod's name to leave the folder.

Why it exists: a pod that is deleted without grace is gone from the API at once, and the next one of its name is made;
its processes, though, get SIGTERM and live for their grace period. On the same machine both have the same volume, and
a node that ended because of that would be a crash that nobody made.
What it refuses to do: take the lock, or judge: who finds it taken in the end says so (files.py).

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-forced
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Final

from node.clock import Clock

log = logging.getLogger("raft")

PATIENCE: Final = 30.0
"""Seconds: the grace period of a node's pod (statefulset/base/statefulset.yaml)."""
LOOK: Final = 0.1
"""Seconds between two looks: a start takes a second or two, so this is not what it waits for."""


async def vacated(folder: Path, clock: Clock, patience: float = PATIENCE) -> bool:
    """Whether nobody holds `folder`, within `patience` seconds. One that cannot be looked into is not held."""
    deadline, told = clock.now() + patience, False
    while _held(folder):
        if clock.now() >= deadline:
            return False
        if not told:
            log.warning("%s is still in use by an earlier process of this pod's name: waiting for it", folder)
            told = True
        await asyncio.sleep(LOOK)
    return True


def _held(folder: Path) -> bool:
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)  # and with it the lock
    return False
