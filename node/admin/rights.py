"""Which right each route needs, in the words of Kubernetes RBAC: verb, resource, namespace.

Why it exists: one table that a reviewer reads in a minute; the middleware checks it before a handler runs, so no
handler can forget to. What it refuses to do: let a route without an entry be used, or know who has which right; that
is for whoever answers subject access reviews.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Literal

GROUP: Final = "raftsafe.io"
SECRETS: Final = "safesecrets"
CLUSTERS: Final = "safeclusters"

Verb = Literal["get", "list", "create", "update", "delete"]
Scope = Literal["secret", "namespace", "cluster"]


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """`scope` says where the right must hold: on the secret the path names; in the namespace the query names, in all
    of them if it names none; or on the store as a whole."""

    verb: Verb
    resource: str = SECRETS
    subresource: str = ""
    scope: Scope = "secret"


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """A need at one place. `namespace`: "" for all namespaces. `name`: of the secret, "" for every one."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str

    @property
    def what(self) -> str:
        """As `kubectl auth can-i` and the rules of a role spell it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def __str__(self) -> str:
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        return f"{self.verb} {self.what}.{GROUP}" + ("" if self.resource == CLUSTERS else f" in {where}")


VALUE: Final = Need("get", subresource="value")
"""To read a value back."""
GRANT: Final = Need("update", subresource="grant")
"""To change who gets a secret, also as a part of a write. Granting to a workload of another namespace needs this in
the secret's namespace, like any other grant: what is given away lies there."""

UPDATE: Final = Need("update")

NEEDS: Final[Mapping[str, tuple[Need, ...]]] = {
    # And update, unless it can only make the secret (if_version 0): node.admin.secrets asks, once it has read the body.
    # Which of the two it is, is otherwise known in the order of the log only.
    "secret.put": (Need("create"),),
    "secret.patch": (Need("update"),),
    "secret.get": (Need("get"),),
    "secret.value": (Need("get"), VALUE),
    "secret.history": (Need("get"),),
    "secret.rollout": (Need("get"),),
    "secret.rollback": (Need("update"),),
    "secret.delete": (Need("delete"),),
    "secret.undelete": (Need("update"),),
    "secret.purge": (Need("delete"),),
    "secret.grants": (GRANT,),
    "secret.apply": (),  # node.admin.apply asks for what a put needs, for each secret in the body
    "secret.explain": (),  # node.admin.explain asks for what its query names
    "secret.list": (Need("list", scope="namespace"),),
    "cluster.status": (Need("get", CLUSTERS, scope="cluster"),),
    "cluster.metrics": (Need("get", CLUSTERS, scope="cluster"),),
    "cluster.resize": (Need("update", CLUSTERS, scope="cluster"),),
    "cluster.sidecars": (Need("list", CLUSTERS, "sidecars", "cluster"),),
}
"""Action of the route -> what it needs, all of it. An empty tuple would let in everybody who has shown who he is: it
is for routes whose handler asks for each thing it touches (node.admin.auth.require)."""


def rights(needs: tuple[Need, ...], secret: str, namespace: str) -> tuple[Right, ...]:
    """The needs at this place. `secret`: namespace/name of the path; `namespace`: of the query, "" for all."""
    return tuple(_right(need, secret, namespace) for need in needs)


def _right(need: Need, secret: str, namespace: str) -> Right:
    if need.scope == "secret":
        namespace, _, name = secret.partition("/")
        return Right(need.verb, need.resource, need.subresource, namespace, name)
    return Right(need.verb, need.resource, need.subresource, namespace if need.scope == "namespace" else "", "")
