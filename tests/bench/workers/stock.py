"""One node of the released pysyncobj, unmodified: nothing of node.raft is imported in this process.

Started by peers/stock.py. The library ticks in its own thread, as it does by default (twice as fast here as ticking by
hand), and the callers ask again from the callbacks that it calls there.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import threading
import time
from typing import Any

import pysyncobj

TICK = 0.05
GRACE = 10.0


class Counter(pysyncobj.SyncObj):
    """Counts, as the machine of ours does."""

    def __init__(self, own: str, others: list[str], conf: pysyncobj.SyncObjConf) -> None:
        super().__init__(own, others, conf)
        self._count = 0

    @pysyncobj.replicated
    def put(self, value: bytes) -> int:
        self._count += 1
        return self._count


def make(options: dict[str, Any]) -> Counter:
    """`options`: own address, the others', batch, period and the journal's path or null."""
    conf = pysyncobj.SyncObjConf(
        autoTickPeriod=min(TICK, options["period"]),
        appendEntriesUseBatch=options["batch"],
        appendEntriesPeriod=options["period"],
        journalFile=options["journal"],
        connectionRetryTime=0.2,
    )
    return Counter(options["own"], options["others"], conf)


def run(node: Counter, callers: int, size: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Commits a second of `callers`, each asking again from the callback of its last command."""
    done, failed, running = itertools.count(), itertools.count(), True
    value = os.urandom(size)
    finished = threading.Semaphore(0)

    def answered(_: object, error: int) -> None:
        next(done)
        if error != pysyncobj.FAIL_REASON.SUCCESS:
            next(failed)
        if running:
            node.put(value, callback=answered)
        else:
            finished.release()

    for _ in range(callers):
        node.put(value, callback=answered)
    time.sleep(warm_up)
    first, begin = next(done), time.perf_counter()
    time.sleep(seconds)
    last, end = next(done), time.perf_counter()
    running = False
    left = sum(not finished.acquire(timeout=GRACE) for _ in range(callers))
    wrong = next(failed)
    if wrong or left:
        return {"error": f"{wrong} commands failed, {left} were not answered"}
    return {"rate": (last - first - 1) / (end - begin), "led": bool(node._isLeader())}


def main() -> None:
    logging.disable(logging.WARNING)  # it says at each cut of its log that replicas may have diverged
    node = make(json.loads(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.pop("do") == "state":
            found: dict[str, Any] = {"leader": bool(node._isLeader() and node.isReady())}
        else:
            found = run(node, **asked)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
