"""Carries out what reconcile.py decides for one SafeSecret: against the API server and the store.

Why it exists: the shell around the decision, one resource at a time, each step safe to repeat.
What it refuses to do: go on with a resource after somebody else changed it (resourceVersion): it is looked at anew.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import Any, Final

from statefulset.cli.errors import AWAY, CliError
from statefulset.controller import notices, reconcile
from statefulset.controller.reconcile import (
    FINALIZER,
    GROUP,
    PLURAL,
    VERSION,
    Action,
    AddFinalizer,
    Apply,
    Delete,
    Invalid,
    RemoveFinalizer,
    Rollout,
    Stored,
)
from statefulset.controller.store import Store
from statefulset.controller.trouble import Trouble
from statefulset.kube.api import Api, Document
from statefulset.kube.objects import ForbiddenError

log = logging.getLogger("safe-control")

API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "SafeSecret"
ALL: Final = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
STEPS: Final = 6
"""One pass of one resource: finalizer, apply, status and one repetition; more would be two who undo each other."""
AGAIN: Final = 5.0
"""Seconds until a resource is looked at again whose rollout is under way or whom the store could not serve."""
SOME_TIME: Final = 300.0
"""Seconds until one that is settled, or refused, is looked at again: drift is repaired within this time."""
LET_GO: Final = """put it right, or let the resource go and leave the secret in the store: kubectl patch safesecret \
-n {namespace} {name} --type merge -p '{{"spec":{{"deletionPolicy":"Retain"}}}}'"""


def path_of(name: str) -> str:
    """The resource's path for `namespace/name`."""
    namespace, _, own = name.partition("/")
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{own}"


def utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SecretsDuty:
    """`reconcile(name)` is one pass over one SafeSecret."""

    def __init__(self, api: Api, store: Store, now: Callable[[], str] = utc_now) -> None:
        self._api, self._store, self._now = api, store, now

    def reconcile(self, name: str) -> float | None:
        """Seconds until it should be looked at again; None when it is gone. Raises what Api raises."""
        for _ in range(STEPS):
            resource = self._api.get(path_of(name))
            if resource is None:
                return None
            try:
                stored = None if reconcile.settled_without_store(resource) else self._stored(name)
                action = reconcile.decide(resource, stored)
                if action is None:
                    return self._delivered(resource)
                self._carry_out(resource, action)
            except Invalid as error:
                self._status(resource, reconcile.failed(resource, "Invalid", str(error), self._now()))
                return SOME_TIME
            except CliError as error:
                return self._refused(resource, error)
        return AGAIN

    def _carry_out(self, resource: Document, action: Action) -> None:
        name = reconcile.name_of(resource)
        finalizers = list(resource["metadata"].get("finalizers") or ())
        match action:
            case AddFinalizer():
                self._finalizers(resource, [*finalizers, FINALIZER])
            case RemoveFinalizer():
                self._finalizers(resource, [each for each in finalizers if each != FINALIZER])
            case Delete():
                self._store.change("DELETE", f"/v1/secrets/{name}")
                log.info("%s deleted in the store, as its SafeSecret goes", name)
            case Apply(body):
                answer = self._store.change("POST", "/v1/apply", {"secrets": [body]})
                version = int(answer["secrets"][0]["version"])
                self._status(resource, reconcile.applied(resource, version, self._now()))
                log.info("%s is at version %d in the store", name, version)

    def _finalizers(self, resource: Document, finalizers: list[str]) -> None:
        metadata = {"finalizers": finalizers, "resourceVersion": resource["metadata"]["resourceVersion"]}
        self._api.patch(path_of(reconcile.name_of(resource)), {"metadata": metadata})

    def _status(self, resource: Document, status: dict[str, Any]) -> None:
        if status != resource.get("status"):
            self._api.patch(path_of(reconcile.name_of(resource)) + "/status", {"status": status})

    def _stored(self, name: str) -> Stored | None:
        try:
            found = self._store.read(f"/v1/secrets/{name}")
        except CliError as error:
            if error.code == "not_found":
                return None
            raise
        return Stored(
            found["version"],
            tuple(found["grants"]),
            found["not_before_ms"],
            found["expires_ms"],
            found["deleted"],
        )

    def _refused(self, resource: Document, error: CliError) -> float:
        """The store is away: what was said of the resource stays, and it is tried again. It refused: that is said."""
        if error.exit_code == AWAY:
            log.warning("the store is away: %s", error.message)
            return AGAIN
        text = f"{error.message}. {error.hint}" if error.hint else error.message
        self._status(resource, reconcile.failed(resource, _reason(error.code), text, self._now()))
        if reconcile.going(resource):
            self._kept_from_going(resource["metadata"], text)
        return SOME_TIME

    def _kept_from_going(self, metadata: Document, why: str) -> None:
        """An Event at the resource, one that is written again at each look: its namespace waits for it, too."""
        namespace, name = metadata["namespace"], metadata["name"]
        text = f"the store does not delete its secret, so it stays: {why}; {LET_GO.format_map(metadata)}"
        told = Trouble(namespace, name, metadata.get("uid") or "", "DeletionRefused", text)
        log.warning("%s/%s: %s", namespace, name, text)
        path, body = f"/api/v1/namespaces/{namespace}/events", notices.event(told, self._now(), API_VERSION, KIND)
        again = {key: body[key] for key in ("message", "lastTimestamp")}
        try:
            if self._api.patch(f"{path}/{notices.event_name(told)}", again) is None:
                self._api.create(path, body)
        except ForbiddenError as error:  # a namespace that is on its way out takes no new Events; the condition is set
            log.warning("%s/%s: no Event: %s", namespace, name, error)

    def _delivered(self, resource: Document) -> float:
        if reconcile.going(resource):
            return SOME_TIME
        look = self._store.rollout(reconcile.name_of(resource))
        status = reconcile.delivered(resource, Rollout(look.current, len(look.counted)))
        if status is not None:
            self._status(resource, status)
        return SOME_TIME if look.complete else AGAIN


def _reason(code: str) -> str:
    """A condition's reason is CamelCase: too_large -> TooLarge."""
    return "".join(word.capitalize() for word in code.split("_")) or "Refused"
