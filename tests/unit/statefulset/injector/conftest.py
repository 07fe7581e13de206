"""Pods as the API server sends them, and what becomes of them."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import jsonpatch

from statefulset.injector.admission import review
from statefulset.injector.patch import Injector

INJECTOR = Injector(image="raftsafe/sidecar:0.1.0", nodes="safe.raftsafe.svc:8400")


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """An ordinary pod of namespace shop that asks for injection."""
    given = {"raftsafe.io/inject": "true", **(annotations or {})}
    base = {"containers": [{"name": "web", "image": "web:1"}]}
    return {"metadata": {"generateName": "web-", "annotations": given}, "spec": base | spec}


def ask(what: dict[str, Any], namespace: str = "shop", operation: str = "CREATE") -> dict[str, Any]:
    """The answer of the webhook, through JSON both ways, as it goes over the wire."""
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": operation,
        "namespace": namespace,
        "object": what,
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = json.loads(json.dumps(review(json.loads(json.dumps(body)), INJECTOR, "raftsafe")))
    assert answer["response"]["uid"] == "u-1"
    response: dict[str, Any] = answer["response"]
    return response


def patched(what: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """The pod as it is created then."""
    assert response["allowed"], response
    if "patch" not in response:
        return what
    assert response["patchType"] == "JSONPatch"
    done: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(what), json.loads(base64.b64decode(response["patch"])))
    return done


def injected(what: dict[str, Any]) -> dict[str, Any]:
    return patched(what, ask(what))


def denial(what: dict[str, Any]) -> str:
    response = ask(what)
    assert response["allowed"] is False and "patch" not in response
    message: str = response["status"]["message"]
    return message


def container(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = [c for kind in ("initContainers", "containers") for c in of["spec"].get(kind, []) if c["name"] == name]
    assert len(found) == 1, f"{name} is there {len(found)} times"
    one: dict[str, Any] = found[0]
    return one


def env(of: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in of["env"]}
