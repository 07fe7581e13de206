"""What the kubeconfig's user must be allowed for a run in a cluster, as a table, and the questions for it.

Why it exists: a run that finds out half way that it may not read a log leaves more behind than one that does not begin.
What it refuses to do: ask for a right outside the store's namespace, the run's own, and the few things without one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, Literal

from statefulset.chaos.workloads import RULES

Where = Literal["store", "run", "cluster"]
REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclasses.dataclass(frozen=True)
class Need:
    """`where`: in the store's namespace, in the one the run makes, or of the cluster. `name`: "" for any."""

    where: Where
    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    name: str = ""


NEEDS: Final = (
    Need("store", ("get",), "statefulsets", "apps", "safe"),
    Need("store", ("get",), "configmaps", "", "raftsafe-identity"),
    Need("store", ("list", "delete"), "pods"),
    Need("store", ("get", "create"), "pods/portforward"),
    Need("cluster", ("get",), "mutatingwebhookconfigurations", "admissionregistration.k8s.io", "raftsafe"),
    Need("cluster", ("create", "get", "delete"), "namespaces"),
    Need("run", ("create",), "serviceaccounts"),
    Need("run", ("create",), "serviceaccounts/token"),
    Need("run", ("create",), "configmaps"),
    Need("run", ("create",), "roles", "rbac.authorization.k8s.io"),
    Need("run", ("create",), "rolebindings", "rbac.authorization.k8s.io"),
    Need("run", ("create", "list", "delete"), "pods"),
    Need("run", ("get",), "pods/log"),
    # Nobody can give a right that he has not got (or the verb escalate): those that the writer is given.
    *(
        Need("run", tuple(rule["verbs"]), resource, group)
        for rule in RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ),
)


def questions(store: str, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line for people, and the SelfSubjectAccessReview. `store`, `run`: namespaces."""
    spaces = {"store": store, "run": run, "cluster": ""}
    for need in NEEDS:
        space = spaces[need.where]
        resource, _, part = need.resource.partition("/")
        for verb in need.verbs:
            asked = {"group": need.group, "resource": resource, "subresource": part, "verb": verb}
            asked |= {"namespace": space, "name": need.name}
            told = f"{verb} {need.resource}{f'.{need.group}' if need.group else ''}"
            spec = {"resourceAttributes": {key: value for key, value in asked.items() if value or key == "group"}}
            body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
            yield f"{told} in {space}" if space else told, body
