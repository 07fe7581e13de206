"""SafeSecret and what the store says of it -> what to do next.

Why it exists: one level-triggered, pure decision for a resource that is new, changed, drifted, refused or going. It
looks at what is, never at what happened, so a restart, a lost event or a second replica changes nothing.
What it refuses to do: see a value. The manifest holds sealed ones, and only the nodes open them.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ (status, finalizers)
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

GROUP: Final = "raftsafe.io"
VERSION: Final = "v1alpha1"
PLURAL: Final = "safesecrets"
FINALIZER: Final = "raftsafe.io/store"
RETAIN: Final = "Retain"
MAX_MESSAGE: Final = 1024
"""Characters of a condition's message; the API's own limit is 32768, but this is read in a terminal."""

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """The store's metadata of the secret. Times in ms since 1970."""

    version: int
    grants: tuple[str, ...] = ()
    not_before_ms: int | None = None
    expires_ms: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the newest version has come: pods that have it, of all that should."""

    current: int
    total: int


# -- what may be done ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Before the store learns of the secret, so that nothing is left behind when the resource goes at once."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """The store is done with it; the resource may go."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Bring the store to `body` (one entry of POST /v1/apply). The store makes a version only for other values."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """A soft delete: `safe undelete` brings it back."""


Action = AddFinalizer | RemoveFinalizer | Apply | Delete


class Invalid(Exception):
    """The resource cannot be carried out as it is written; one line for its condition. The schema lets few through."""


def name_of(resource: Resource) -> str:
    """`namespace/name`, the secret's name in the store."""
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"


def going(resource: Resource) -> bool:
    return bool(resource["metadata"].get("deletionTimestamp"))


def settled_without_store(resource: Resource) -> bool:
    """Whether the next step is the same whatever the store has: a retained secret's resource goes even when the store
    refuses, or is not there any more."""
    return going(resource) and resource["spec"].get("deletionPolicy") == RETAIN


def decide(resource: Resource, stored: Stored | None) -> Action | None:
    """The one next step, None when there is nothing to do. Raises Invalid."""
    metadata = resource["metadata"]
    held = FINALIZER in (metadata.get("finalizers") or ())
    if going(resource):
        if not held:
            return None
        gone = stored is None or stored.deleted
        return RemoveFinalizer() if gone or settled_without_store(resource) else Delete()
    if not held:
        return AddFinalizer()
    body = wanted(resource)
    return None if _settled(resource, stored, body) else Apply(body)


def _settled(resource: Resource, stored: Stored | None, body: Mapping[str, Any]) -> bool:
    """The store has what this manifest says, at the version that this manifest made."""
    status = resource.get("status") or {}
    return (
        stored is not None
        and not stored.deleted
        and status.get("sealedHash") == digest(resource)
        and status.get("version") == stored.version
        and ("grants" not in body or set(stored.grants) == set(body["grants"]))
        and stored.not_before_ms == body["not_before_ms"]
        and stored.expires_ms == body["expires_ms"]
    )


def wanted(resource: Resource) -> dict[str, Any]:
    """The entry for the store. Without `grants` in the spec it names none, and the store keeps those it has
    (node/admin/apply.py); an empty list takes all away. Raises Invalid."""
    spec = resource["spec"]
    window = {"not_before_ms": _moment(spec, "notBefore"), "expires_ms": _moment(spec, "expires")}
    if None not in window.values() and window["not_before_ms"] >= window["expires_ms"]:
        raise Invalid("spec.notBefore is not before spec.expires")
    return {
        "name": name_of(resource),
        "sealed": dict(spec.get("sealed") or {}),
        **({} if spec.get("grants") is None else {"grants": list(dict.fromkeys(spec["grants"]))}),
        **window,
    }


def _moment(spec: Mapping[str, Any], key: str) -> Any:
    text = spec.get(key)
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Invalid(f"spec.{key} is no date and time; write for example 2030-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise Invalid(f"spec.{key} has no time zone; write Z at its end for UTC")
    return round(moment.timestamp() * 1000)


def digest(resource: Resource) -> str:
    """Of the sealed values as they are written. They are ciphertext: the digest tells nothing of a value."""
    text = json.dumps(resource["spec"].get("sealed") or {}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# -- what is said of it ----------------------------------------------------------------------------------------------
def applied(resource: Resource, version: int, now: str) -> dict[str, Any]:
    """The status after the store took it."""
    return _status(resource, True, "Stored", f"version {version} is in the store", now) | {
        "version": version,
        "sealedHash": digest(resource),
    }


def failed(resource: Resource, reason: str, message: str, now: str) -> dict[str, Any]:
    """The status after a refusal: what was in force stays in force, and is still said."""
    return _status(resource, False, reason, message, now)


def delivered(resource: Resource, rollout: Rollout) -> dict[str, Any] | None:
    """The status with the number of pods, None if it says so already."""
    status = dict(resource.get("status") or {})
    text = f"{rollout.current}/{rollout.total}"
    return None if status.get("delivered") == text else status | {"delivered": text}


def _status(resource: Resource, ready: bool, reason: str, message: str, now: str) -> dict[str, Any]:
    """`now` in RFC 3339. The transition time moves only when the answer does."""
    status = dict(resource.get("status") or {})
    value = "True" if ready else "False"
    none: dict[str, Any] = {}
    old = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), none)
    condition = {
        "type": "Ready",
        "status": value,
        "reason": reason,
        "message": message[:MAX_MESSAGE],
        "observedGeneration": resource["metadata"].get("generation", 0),
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == value else now,
    }
    others = [each for each in status.get("conditions") or () if each["type"] != "Ready"]
    return status | {
        "observedGeneration": resource["metadata"].get("generation", 0),
        "conditions": [*others, condition],
    }
