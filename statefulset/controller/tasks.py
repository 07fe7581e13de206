"""What the controller has to look at, when, and the looks that are a few lines each.

Why it exists: a queue of names with a time, most urgent first, in which a name stands once, so that many changes of
one resource are one look at it; and the one place that says what a name means. What takes more than a few lines is a
duty of its own (secrets.py, events.py).
What it refuses to do: forget a name before it was handled, know how long anything takes, or do two at a time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from statefulset.cli.errors import CliError
from statefulset.controller import bundle
from statefulset.controller.events import PODS, EventsDuty
from statefulset.controller.secrets import ALL, SecretsDuty
from statefulset.controller.store import Store
from statefulset.injector.certificate import LOOK, Certificate, trusted
from statefulset.injector.patch import INJECTED
from statefulset.kube.api import NAMES_ONLY, Api, Document
from statefulset.kube.objects import AwayError, ForbiddenError

log = logging.getLogger("safe-control")

SECRET: Final = "secret "  # noqa: S105 - a word in a queue
BUNDLE: Final = "bundle "
WEBHOOK: Final = "webhook"
MISSED: Final = "missed"
UNSERVED: Final = "unserved"
MEMBERS: Final = "members"
FAILED: Final = 5.0
"""Seconds after which something that could not be done is tried again."""
PERIODS: Final = {WEBHOOK: LOOK, MISSED: 300.0, UNSERVED: 60.0, MEMBERS: 5.0}
"""Seconds between two looks at what nothing tells us of."""
NODES: Final = "safe"
"""The StatefulSet."""
CONFIGURATION: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/raftsafe"


def members(replicas: int, status: Mapping[str, Any]) -> int | None:
    """The size to decide, None if it is decided or cannot be (pure). 0 replicas is a store at rest, not one without
    members: it comes back as it was."""
    decided = status["size"] or len(status["voters"])
    return replicas if replicas and replicas != decided else None


class Tasks:
    """`do(task)` carries one out. Thread-safe: watches note, the worker takes."""

    def __init__(
        self,
        api: Api,
        secrets: SecretsDuty,
        events: EventsDuty,
        store: Store,
        certificate: Certificate,
        namespace: str,
        ca: Callable[[], str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ca`: the PEM certificate by which sidecars know the nodes; may raise AwayError."""
        self._api, self._secrets, self._events, self._store = api, secrets, events, store
        self._certificate, self._namespace, self._ca, self._now = certificate, namespace, ca, now
        self._lock = threading.Lock()
        self._due: dict[str, float] = dict.fromkeys(PERIODS, 0.0)

    def watches(self) -> Iterator[tuple[str, Callable[[Document], None], dict[str, str]]]:
        """(path, what to do with each object's metadata, query)."""
        yield ALL, lambda meta: self.note(f"{SECRET}{meta['namespace']}/{meta['name']}"), {}
        yield PODS, lambda meta: self.note(f"{BUNDLE}{meta['namespace']}"), {"labelSelector": INJECTED}

    def note(self, task: str, after: float = 0.0) -> None:
        """Look at it in `after` seconds, or sooner if that is noted already."""
        moment = self._now() + after
        with self._lock:
            self._due[task] = min(moment, self._due.get(task, moment))

    def again(self, task: str) -> None:
        self.note(task, FAILED)

    def due(self) -> str | None:
        """The most urgent task whose time has come; it is out of the queue then."""
        with self._lock:
            task = min(self._due, key=self._due.__getitem__, default=None)
            if task is None or self._due[task] > self._now():
                return None
            del self._due[task]
            return task

    def pause(self) -> float:
        """Seconds until something is due."""
        with self._lock:
            return max(0.0, min(self._due.values(), default=3600.0) - self._now())

    def do(self, task: str) -> None:
        """Raises AwayError, ForbiddenError: then it is not done."""
        if task.startswith(SECRET):
            after = self._secrets.reconcile(task.removeprefix(SECRET))
            if after is not None:
                self.note(task, after)
        elif task.startswith(BUNDLE):
            self._published(task.removeprefix(BUNDLE))
        elif task == WEBHOOK:
            self._webhook()
        elif task == MISSED:
            self._events.missed()
        elif task == UNSERVED:
            self._events.unserved()
        elif task == MEMBERS:
            self._members()
        if task in PERIODS:
            self.note(task, PERIODS[task])

    def _published(self, namespace: str) -> None:
        """A namespace that is going, or gone, takes no bundle: the last news of its pods was that they went, too."""
        try:
            self._bundle(namespace)
        except ForbiddenError:
            query = {"accept": NAMES_ONLY, "labelSelector": INJECTED}
            pods = self._api.items(f"/api/v1/namespaces/{namespace}/pods", **query)
            if any(not each["metadata"].get("deletionTimestamp") for each in pods):
                raise

    def _bundle(self, namespace: str) -> None:
        certificate, path = self._ca(), f"/api/v1/namespaces/{namespace}/configmaps"
        found = self._api.get(f"{path}/{bundle.BUNDLE}")
        if found is None:
            self._api.create(path, bundle.bundle(certificate))
            log.info("CA bundle published to %s", namespace)
        elif bundle.outdated(found, certificate):
            self._api.patch(f"{path}/{bundle.BUNDLE}", bundle.bundle(certificate))
            log.info("CA bundle renewed in %s", namespace)

    def _webhook(self) -> None:
        if not self._certificate.authority:
            raise AwayError("the webhook has no certificate yet")
        found = self._api.get(CONFIGURATION)
        if found is None:
            log.warning("there is no MutatingWebhookConfiguration raftsafe: pods are not injected")
            return
        wanted: Any = trusted(found, self._certificate.authority)
        if wanted is not None and self._api.replace(CONFIGURATION, wanted) is not None:
            log.info("the API server knows the webhook's authority")

    def _members(self) -> None:
        """The store's size follows the StatefulSet's: pods that come are let in, those that go are let go."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/statefulsets/{NODES}"
        found = self._api.get(path)
        if found is None:
            return
        try:
            size = members(found["spec"].get("replicas", 1), self._store.read("/v1/status"))
            if size is not None:
                self._store.change("PUT", "/v1/members", {"size": size})
                log.info("the store is to have %d members, as its StatefulSet has", size)
        except CliError as error:
            raise AwayError(f"members: {error.message}") from None
