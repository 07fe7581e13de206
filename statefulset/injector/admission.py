"""AdmissionReview in, AdmissionReview out (admission.k8s.io/v1).

Why it exists: the whole answer of the webhook is one pure function of what the API server sent.
What it refuses to do: touch a pod of its own namespace or of kube-system: a store that waits for itself never starts.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from statefulset.injector import vault
from statefulset.injector.annotations import Refused, read, wanted
from statefulset.injector.patch import Injector, patch, warnings

API: Final = "admission.k8s.io/v1"
SYSTEM: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
MAX_WARNING: Final = 256
"""Characters: the API server cuts single warnings here."""
MAX_WARNINGS: Final = 12
"""The API server drops all that goes beyond 4096 characters together."""


def review(body: Mapping[str, Any], injector: Injector, own_namespace: str) -> dict[str, Any]:
    """The answer to one review. Raises ValueError if `body` is no review of a pod's creation."""
    request = body.get("request")
    if body.get("apiVersion") != API or not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise ValueError(f"not an AdmissionReview of {API}")
    pod = request.get("object")
    if not isinstance(pod, dict) or request.get("kind", {}).get("kind") != "Pod":
        raise ValueError("not a review of a Pod")
    answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
    namespace = request.get("namespace") or "default"
    try:
        if request.get("operation") == "CREATE" and namespace not in SYSTEM | {own_namespace}:
            answer |= _injected(pod, namespace, injector)
    except Refused as refused:
        answer |= {"allowed": False, "status": {"code": 400, "reason": "BadRequest", "message": f"raftsafe: {refused}"}}
    return {"apiVersion": API, "kind": "AdmissionReview", "response": answer}


def _injected(pod: Mapping[str, Any], namespace: str, injector: Injector) -> dict[str, Any]:
    metadata = pod.get("metadata") or {}
    given = metadata.get("annotations") or {}
    if not wanted(metadata.get("labels") or {}, given):
        return {}
    translated, said = vault.translate(given, namespace)
    options = read(translated | dict(given), namespace)
    operations = patch({**pod, "metadata": metadata}, options, injector)
    said += warnings(pod, options)
    out: dict[str, Any] = {}
    if operations:
        out = {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
    if said:
        out["warnings"] = [text[:MAX_WARNING] for text in said[:MAX_WARNINGS]]
    return out
