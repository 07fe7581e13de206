"""The controller's loop: one worker, two watches, one lease.

Why it exists: the only place of the controller with threads and a clock. Watches say which names to look at, the worker
looks; everything it does is safe to repeat, so a restart or two workers at once do no harm.
What it refuses to do: stop because one resource cannot be handled, or work without the lease.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from statefulset.controller.lease import RENEW, Election, Write
from statefulset.controller.tasks import Tasks
from statefulset.kube.api import Api, Document
from statefulset.kube.objects import AwayError, ForbiddenError

log = logging.getLogger("safe-control")

LEASE: Final = "safe-control"
WATCH: Final = 240
"""Seconds of one watch. Each begins with everything there is, so this is also how often all is looked at anew."""
PAUSE: Final = 2.0
"""Seconds before a watch that broke is tried again, and between two looks of a worker with nothing to do."""


class Watch(threading.Thread):
    """Hands the metadata of every object of a list to `seen`, first all of them, then each that changes."""

    def __init__(self, api: Api, path: str, seen: Callable[[Document], None], stop: threading.Event, **query: str):
        super().__init__(name=f"watch {path}", daemon=True)
        self._api, self._path, self._seen, self._ended, self._query = api, path, seen, stop, query

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                # Without a resourceVersion a watch begins with an ADDED for everything there is.
                for event in self._api.watch(self._path, WATCH, **self._query):
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        self._seen(event["object"]["metadata"])
                    if self._ended.is_set():
                        return
            except (AwayError, ForbiddenError, ValueError, KeyError) as error:
                log.warning("watch of %s: %s", self._path, error)
                self._ended.wait(PAUSE)


class Loop:
    """`run()` until `stop` is set; in a thread of its own."""

    def __init__(self, api: Api, name: str, namespace: str, tasks: Tasks, stop: threading.Event) -> None:
        self._api, self._tasks, self._ended = api, tasks, stop
        self._election = Election(name)
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._renew = 0.0
        self._led = False

    @property
    def leading(self) -> bool:
        return self._election.leading(time.monotonic())

    def run(self) -> None:
        for path, seen, query in self._tasks.watches():
            Watch(self._api, path, seen, self._ended, **query).start()
        while not self._ended.is_set():
            self._campaign()
            task = self._tasks.due() if self.leading else None
            if task is None:
                self._ended.wait(min(PAUSE, self._tasks.pause()) if self.leading else PAUSE)
                continue
            self._one(task)
        self._release()

    def _one(self, task: str) -> None:
        try:
            self._tasks.do(task)
        except (AwayError, ForbiddenError) as error:
            log.warning("%s: %s", task, error)
            self._tasks.again(task)
        except Exception:
            # One resource must not keep the others from being looked at; the line names where it broke, not with what.
            log.exception("%s could not be handled", task)
            self._tasks.again(task)

    def _campaign(self) -> None:
        now = time.monotonic()
        if now < self._renew:
            return
        self._renew = now + (RENEW if self.leading else PAUSE)
        try:
            lease = self._api.get(f"{self._leases}/{LEASE}")
            write = self._election.step(lease, time.monotonic(), datetime.datetime.now(datetime.UTC))
            if write is not None:
                asked = time.monotonic()
                self._election.written(self._write(lease, write), asked)
        except (AwayError, ForbiddenError) as error:
            log.warning("lease: %s", error)
        if self.leading != self._led:
            self._led = self.leading
            log.info("this replica %s", "works" if self._led else "waits")

    def _write(self, lease: Document | None, write: Write) -> bool:
        if lease is None:
            body = {"metadata": {"name": LEASE}, "spec": dict(write.spec)}
            return self._api.create(self._leases, body) is not None
        return self._api.replace(f"{self._leases}/{LEASE}", {**lease, "spec": dict(write.spec)}) is not None

    def _release(self) -> None:
        with contextlib.suppress(AwayError, ForbiddenError):
            lease = self._api.get(f"{self._leases}/{LEASE}")
            write = self._election.release(lease)
            if write is not None:
                self._write(lease, write)
