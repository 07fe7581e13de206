"""The rules of an API server for documents in memory: versions, conflicts, finalizers, selectors, watches, rights.

Why it exists: controllers go wrong exactly where a simple mock is kind: stale writes, deletion that waits, a right that
was forgotten in the manifests. It authorises by the RBAC documents it is given.
What it refuses to do: know schemas, defaulting or admission; a test may bring its own (`admission`).

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import copy
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Document = dict[str, Any]
Key = tuple[str, str, str, str]
"""group, plural, namespace ("" for none), name."""


class Refusal(Exception):
    """`code` is the status of the answer."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def merge(into: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    out = dict(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def selected(document: Document, selector: str) -> bool:
    """Equality and existence, what label selectors of ours use."""
    labels = document["metadata"].get("labels") or {}
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if part.startswith("!"):
            if part[1:] in labels:
                return False
        elif (labels.get(key) != value) if equals else (key not in labels):
            return False
    return True


def matching(document: Document, selector: str) -> bool:
    """Field selectors: = and != on a path; what is not there is the empty string."""
    for part in filter(None, selector.split(",")):
        path, other, value = part.partition("!=") if "!=" in part else part.partition("=")
        found: Any = document
        for step in path.split("."):
            found = (found or {}).get(step)
        if ((found or "") == value) is (other == "!="):
            return False
    return True


class Cluster:
    """`rights`: RBAC documents, or None for no authorisation; `spec` changes count generations. `admission`: (plural,
    document) -> document, for what is created."""

    def __init__(self, rights: list[Document] | None = None) -> None:
        self.rights = rights
        self.admission: Callable[[str, Document], Document] = lambda _, document: document
        self.changed = threading.Condition()
        self.history: list[tuple[int, str, Key, Document]] = []
        self.denied: list[tuple[str, str, str]] = []
        self._objects: dict[Key, Document] = {}
        self._version = itertools.count(1)

    # -- for tests ---------------------------------------------------------------------------------------------------
    def put(self, group: str, plural: str, document: Document) -> Document:
        """Make or replace, as some other client with every right."""
        namespace, name = document["metadata"].get("namespace", ""), document["metadata"]["name"]
        with self.changed:
            if (group, plural, namespace, name) in self._objects:
                return self._write((group, plural, namespace, name), document)
            return self.create(group, plural, namespace, document)

    def read(self, group: str, plural: str, namespace: str, name: str) -> Document | None:
        with self.changed:
            return copy.deepcopy(self._objects.get((group, plural, namespace, name)))

    # -- verbs -------------------------------------------------------------------------------------------------------
    def get(self, key: Key) -> Document:
        with self.changed:
            if key not in self._objects:
                raise Refusal(404)
            return copy.deepcopy(self._objects[key])

    def list(self, group: str, plural: str, namespace: str, selector: str = "", fields: str = "") -> list[Document]:
        with self.changed:
            return [
                copy.deepcopy(each)
                for key, each in sorted(self._objects.items())
                if key[:2] == (group, plural)
                and namespace in ("", key[2])
                and selected(each, selector)
                and matching(each, fields)
            ]

    def create(self, group: str, plural: str, namespace: str, document: Document) -> Document:
        with self.changed:
            document = copy.deepcopy(document)
            metadata = document.setdefault("metadata", {})
            if "name" not in metadata:
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            key = (group, plural, namespace, metadata["name"])
            if key in self._objects:
                raise Refusal(409, "it exists")
            metadata |= {"uid": str(uuid.uuid4()), "generation": 1} | ({"namespace": namespace} if namespace else {})
            document.pop("status", None)
            return self._store("ADDED", key, self.admission(plural, document))

    def replace(self, key: Key, document: Document, part: str = "") -> Document:
        """PUT, of the whole or of the status."""
        with self.changed:
            present = self.get(key)
            given = document["metadata"].get("resourceVersion")
            if given and given != present["metadata"]["resourceVersion"]:
                raise Refusal(409, "it was changed")
            return self._write(key, {**present, "status": document.get("status")} if part else document)

    def patch(self, key: Key, patch: Document, part: str = "") -> Document:
        with self.changed:
            merged = merge(self.get(key), {"status": patch.get("status")} if part else patch)
            return self.replace(key, {**merged, "metadata": {**merged["metadata"], **_given(patch)}}, part)

    def delete(self, key: Key, uid: str = "") -> Document:
        """A namespace takes all that is in it along. `uid`: of the one that is meant, if only that one is."""
        with self.changed:
            present = self.get(key)
            if uid not in ("", present["metadata"]["uid"]):
                raise Refusal(409, "another one has its name")
            if key[1] == "namespaces":
                for inside in [each for each in self._objects if each[2] == key[3]]:
                    self._remove(inside, self._objects[inside])
            if present["metadata"].get("finalizers"):
                present["metadata"].setdefault("deletionTimestamp", "2026-11-24T12:00:00Z")
                return self._store("MODIFIED", key, present)
            return self._remove(key, present)

    def watch(
        self, group: str, plural: str, namespace: str, selector: str, seconds: float
    ) -> Iterator[Document | None]:
        """First an ADDED for all there is, then what changes; None now and then, so that the caller sees its end."""
        with self.changed:
            at = len(self.history)
            for each in self.list(group, plural, namespace, selector):
                yield {"type": "ADDED", "object": each}
        for _ in range(int(seconds / 0.1)):
            with self.changed:
                if len(self.history) == at:
                    self.changed.wait(0.1)
                fresh, at = self.history[at:], len(self.history)
            for _, kind, key, document in fresh:
                if key[:2] == (group, plural) and namespace in ("", key[2]) and selected(document, selector):
                    yield {"type": kind, "object": document}
            yield None

    def _write(self, key: Key, document: Document) -> Document:
        present, document = self._objects[key], copy.deepcopy(document)
        metadata = document["metadata"]
        for fixed in ("uid", "deletionTimestamp", "namespace", "name", "generation"):
            if fixed in present["metadata"]:
                metadata[fixed] = present["metadata"][fixed]
        if document.get("spec") != present.get("spec"):
            metadata["generation"] += 1
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            return self._remove(key, document)
        same = {k: v for k, v in document.items() if k != "metadata"} | {"m": {**metadata, "resourceVersion": 0}}
        was = {k: v for k, v in present.items() if k != "metadata"} | {
            "m": {**present["metadata"], "resourceVersion": 0}
        }
        return copy.deepcopy(present) if same == was else self._store("MODIFIED", key, document)

    def _store(self, kind: str, key: Key, document: Document) -> Document:
        version = next(self._version)
        document["metadata"]["resourceVersion"] = str(version)
        self._objects[key] = document
        self.history.append((version, kind, key, copy.deepcopy(document)))
        self.changed.notify_all()
        return copy.deepcopy(document)

    def _remove(self, key: Key, document: Document) -> Document:
        del self._objects[key]
        self.history.append((next(self._version), "DELETED", key, copy.deepcopy(document)))
        self.changed.notify_all()
        return document

    # -- rights ------------------------------------------------------------------------------------------------------
    def allowed(self, account: str, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        """RBAC for a service account "namespace/name". Refusals are noted in `denied`."""
        if self.rights is None:
            return True
        if any(_grants(rule, verb, group, resource, name) for rule in self._rules(account, namespace)):
            return True
        self.denied.append((verb, f"{resource}.{group}" if group else resource, f"{namespace}/{name}"))
        return False

    def _rules(self, account: str, namespace: str) -> Iterator[Document]:
        for binding in self.rights or ():
            if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
                continue
            if binding["kind"] == "RoleBinding" and binding["metadata"]["namespace"] != namespace:
                continue
            who = [f"{s.get('namespace')}/{s['name']}" for s in binding["subjects"] if s["kind"] == "ServiceAccount"]
            if account not in who:
                continue
            for role in self.rights or ():
                here = role["metadata"].get("namespace") == binding["metadata"].get("namespace")
                if (role["kind"], role["metadata"]["name"]) == (
                    binding["roleRef"]["kind"],
                    binding["roleRef"]["name"],
                ) and (role["kind"] == "ClusterRole" or here):
                    yield from role.get("rules") or ()


def _given(patch: Mapping[str, Any]) -> Document:
    """The version a patch insists on, if it does."""
    version = (patch.get("metadata") or {}).get("resourceVersion")
    return {"resourceVersion": version} if version else {}


def _grants(rule: Document, verb: str, group: str, resource: str, name: str) -> bool:
    return (
        group in rule.get("apiGroups", ())
        and (resource in rule.get("resources", ()) or "*" in rule.get("resources", ()))
        and (verb in rule["verbs"] or "*" in rule["verbs"])
        and (not rule.get("resourceNames") or (name in rule["resourceNames"] and verb != "create"))
    )
