"""What pods need of us besides their sidecar: the CA bundle in their namespace, and a word when injection missed them.

Why it exists: pure decisions over pods' metadata, and the documents that follow from them.
What it refuses to do: look into a pod. Metadata is enough, and lists of it are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from statefulset.injector.admission import SYSTEM
from statefulset.injector.annotations import Refused, wanted
from statefulset.injector.patch import INJECTED

BUNDLE: Final = "raftsafe-ca"
KEY: Final = "ca.crt"
LABELS: Final = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/managed-by": "safe-control"}
REPORTER: Final = "raftsafe.io/safe-control"

Metadata = Mapping[str, Any]


def bundle(certificate: str) -> dict[str, Any]:
    """The ConfigMap that an injected pod mounts."""
    return {"metadata": {"name": BUNDLE, "labels": LABELS}, "data": {KEY: certificate}}


def outdated(present: Mapping[str, Any], certificate: str) -> bool:
    return (present.get("data") or {}).get(KEY) != certificate


def missed(pods: Iterable[Metadata], own_namespace: str) -> list[Metadata]:
    """Metadata of the pods that asked for injection and were made without it, as when the webhook was not there yet.

    A pod whose wish cannot be read was admitted before we could refuse it; it is among them."""
    out = []
    for metadata in pods:
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if metadata["namespace"] in SYSTEM | {own_namespace} or INJECTED in labels or metadata.get("deletionTimestamp"):
            continue
        try:
            asked = wanted(labels, annotations)
        except Refused:
            asked = True
        if asked:
            out.append(metadata)
    return out


def event(metadata: Metadata, reason: str, message: str, now: str) -> dict[str, Any]:
    """A warning at the pod, where `kubectl describe` shows it. One name per pod and reason, so that it is made once.

    https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ (core/v1 form)"""
    name = f"{metadata['name'][:200]}.{reason.lower()}.{str(metadata.get('uid', ''))[:8]}".rstrip(".")
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {
        "metadata": {"name": name, "namespace": metadata["namespace"]},
        "involvedObject": about | ({"uid": metadata["uid"]} if metadata.get("uid") else {}),
        "reason": reason,
        "message": message,
        "type": "Warning",
        "source": {"component": "safe-control"},
        "reportingComponent": REPORTER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
