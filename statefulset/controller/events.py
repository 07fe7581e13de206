"""Says at a pod what is wrong with it: looks at pods and nodes, writes Events.

Why it exists: the shell around trouble.py and notices.py.
What it refuses to do: hold up the controller for long (a look that takes too much time is gone on with at the next), or
let one namespace that takes no Events keep the others from theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from statefulset.cli.errors import AWAY, CliError
from statefulset.controller import notices, trouble
from statefulset.controller.notices import Notices
from statefulset.controller.secrets import utc_now
from statefulset.controller.store import Store
from statefulset.controller.trouble import Trouble
from statefulset.injector.patch import INJECTED
from statefulset.kube.api import NAMES_ONLY, Api
from statefulset.kube.objects import AwayError, ForbiddenError

log = logging.getLogger("safe-control")

PODS: Final = "/api/v1/pods"
RUNNING: Final = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="
"""Field selector: pods that have a machine and are not over. One behind the gate of its sidecar is still Pending."""
BUDGET: Final = 5.0
"""Seconds for one look's questions and Events: the lease has to be renewed in between."""


class EventsDuty:
    """`missed()` and `unserved()` are one look each. Both raise AwayError and ForbiddenError."""

    def __init__(self, api: Api, store: Store, namespace: str, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._store, self._namespace, self._now = api, store, namespace, now
        self._missed, self._unserved = Notices(), Notices()

    def missed(self) -> None:
        """Pods that were made without the sidecar they asked for."""
        every = (item["metadata"] for item in self._api.items(PODS, accept=NAMES_ONLY))
        self._say(self._missed, trouble.missed(every, self._namespace))

    def unserved(self) -> None:
        """Pods whose sidecar lacks something, or is not there."""
        try:
            look = self._store.sidecars()
        except CliError as error:
            if error.exit_code == AWAY:
                raise AwayError(f"sidecars: {error.message}") from None
            # A right is missing, as after an upgrade of the image alone. Asking again at once would fill audit logs.
            log.warning("sidecars: %s; are the manifests as new as this image?", error.message)
            return
        query = {"labelSelector": INJECTED, "fieldSelector": RUNNING}
        injected = (item["metadata"] for item in self._api.items(PODS, accept=NAMES_ONLY, **query))
        self._say(self._unserved, trouble.unserved(injected, look.receipts, look.stale, look.whole))

    def _say(self, memory: Notices, found: Iterable[Trouble]) -> None:
        verdicts = _Verdicts(self._store)
        began = self._now()
        for each in memory.due(found, began):
            if self._now() - began > BUDGET:
                return
            told = verdicts.judged(each) if each.lacks else each
            if told is None:
                continue
            name = notices.event_name(told)
            try:
                count = self._write(told, memory.count(each, name))
            except ForbiddenError as error:  # as of a namespace that is on its way out
                log.warning("pod %s/%s: %s cannot be said: %s", each.namespace, each.pod, told.reason, error)
                count = 0
            memory.said(each, name, count, self._now())

    def _write(self, told: Trouble, count: int) -> int:
        """What the Event counts now. `count`: what it counted when we wrote it, 0 if we did not."""
        path, name, now = f"/api/v1/namespaces/{told.namespace}/events", notices.event_name(told), utc_now()
        body = notices.event(told, now)
        again = {"message": body["message"], "lastTimestamp": now}
        if count and self._api.patch(f"{path}/{name}", {**again, "count": count + 1}) is not None:
            return count + 1
        if self._api.create(path, body) is not None:
            log.warning("pod %s/%s: %s: %s", told.namespace, told.pod, told.reason, told.message)
            return 1
        # Another replica has said it before us. The answer tells what it counts; reading it would be one more right.
        found = self._api.patch(f"{path}/{name}", again)
        return int((found or {}).get("count") or 0)


class _Verdicts:
    """Why workloads do not get secrets, each asked once in one look, and nothing more after the store failed to say."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._away = False

    def judged(self, found: Trouble) -> Trouble | None:
        if self._away:
            return None
        names = found.lacks[: trouble.SHOWN]
        try:
            return trouble.judged(found, [self._one(found.account, name) for name in names])
        except CliError as error:
            self._away = True
            log.warning("why pods lack secrets: %s", error.message)
            return None

    def _one(self, account: str, name: str) -> dict[str, Any]:
        key = (account, name)
        if key not in self._known:
            # This node's own copy will do: what it does not know yet is looked at again in a while.
            answer = self._store.read(f"/v1/explain/{account}", secret=name, consistency="local")
            self._known[key] = answer["verdicts"][0]
        return self._known[key]
