"""What a run makes in a cluster: a namespace of its own, one pod that writes, some that read. Documents only.

Why it exists: all of it can be read here, held against the restricted Pod Security Standard and given to the injector
in a test, before a cluster sees it. What it refuses to do: need any image but the node's, or any right but to put these
secrets of this namespace.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from statefulset.chaos import load
from statefulset.chaos.target import LABELS, Store

Made = dict[str, Any]

LABEL: Final = "raftsafe.io/chaos"
WRITER: Final = "writer"
CONTAINER: Final = "app"
BUNDLE: Final = "store"
MOUNT: Final = "/run/secrets/raftsafe"
"""Where the injector mounts the files (annotation `path` is not set)."""
IDENTITY: Final = "/run/raftsafe/chaos"
AUDIENCE: Final = "raftsafe-admin"
PORT: Final = 8500
SLACK: Final = 3600
"""Seconds that pods live beyond the run, should nobody be there any more to remove them."""
GRACE: Final = 120
"""Seconds for the writer to finish a write, say so, and wait until somebody has read it."""
RULES: Final = (
    {"apiGroups": ["raftsafe.io"], "resources": ["safesecrets"], "verbs": ["get", "create", "update", "delete"]},
    {"apiGroups": ["raftsafe.io"], "resources": ["safesecrets/grant"], "verbs": ["update"]},
)
"""What the writer may: put these secrets with grants, look at their versions, purge them (node/admin/rights.py)."""

NAMESPACES: Final = "/api/v1/namespaces"


@dataclasses.dataclass(frozen=True)
class Run:
    """`mark`: value of the label that says whose run this is. `seconds`: how long it is meant to take."""

    namespace: str
    mark: str
    readers: tuple[str, ...]
    seed: int
    seconds: float

    @property
    def path(self) -> str:
        return f"{NAMESPACES}/{self.namespace}"

    @property
    def secrets(self) -> list[str]:
        """All that is put."""
        return [secret.name for share in load.shares(self.namespace, self.readers) for secret in share.secrets]


def named(mark: str, workloads: int, seed: int, seconds: float) -> Run:
    """No two runs share a namespace, here or in the store: what an earlier one left would count as its writes."""
    readers = tuple(f"reader-{number}" for number in range(workloads))
    return Run(f"raftsafe-chaos-{mark}", mark, readers, seed, seconds)


def namespace(run: Run) -> Made:
    """Network policies let namespaces with the second label to the admin port (base/network.yaml)."""
    labels = {
        LABEL: run.mark,
        "raftsafe.io/admin": "true",
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": run.namespace, "labels": labels}}


def around(run: Run, authority: str) -> list[tuple[str, Made]]:
    """Folder and document of everything but the namespace and the pods. `authority`: the store's, PEM."""

    def document(kind: str, name: str, group: str = "v1", **more: Any) -> Made:
        return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "labels": {LABEL: run.mark}}, **more}

    rbac = "rbac.authorization.k8s.io"
    folder = f"/apis/{rbac}/v1/namespaces/{run.namespace}"
    reference = {"apiGroup": rbac, "kind": "Role", "name": WRITER}
    subject = {"kind": "ServiceAccount", "name": WRITER, "namespace": run.namespace}
    binding = document("RoleBinding", WRITER, f"{rbac}/v1", roleRef=reference, subjects=[subject])
    return [
        *(
            (f"{run.path}/serviceaccounts", document("ServiceAccount", name, automountServiceAccountToken=False))
            for name in (WRITER, *run.readers)
        ),
        (f"{run.path}/configmaps", document("ConfigMap", BUNDLE, data={"ca.crt": authority})),
        (f"{folder}/roles", document("Role", WRITER, f"{rbac}/v1", rules=list(RULES))),
        (f"{folder}/rolebindings", binding),
    ]


def servers(there: Store) -> list[str]:
    """Each node by its own name, so that the writer sees which one is away and asks the next."""
    return [f"https://{node}.safe-peers.{there.namespace}.svc:{PORT}" for node in there.nodes]


def writer(run: Run, there: Store) -> Made:
    asked = {
        "servers": servers(there),
        "ca": f"{IDENTITY}/ca.crt",
        "token": f"{IDENTITY}/token",
        "seed": run.seed,
        "shares": [dataclasses.asdict(share) for share in load.shares(run.namespace, run.readers)],
    }
    pod = _pod(run, there, WRITER, "statefulset.chaos.writer", asked)
    token = {"audience": AUDIENCE, "expirationSeconds": 3600, "path": "token"}
    sources = [{"serviceAccountToken": token}, {"configMap": {"name": BUNDLE}}]
    pod["spec"]["volumes"] = [{"name": "identity", "projected": {"sources": sources}}]
    mount = {"name": "identity", "mountPath": IDENTITY, "readOnly": True}
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    pod["spec"]["terminationGracePeriodSeconds"] = GRACE
    return pod


def reader(run: Run, there: Store, name: str) -> Made:
    given = load.of_pod(run.namespace, name)
    asked = {"pods": {name: {"mount": MOUNT, "secrets": {secret.name: secret.fields for secret in given}}}}
    pod = _pod(run, there, name, "statefulset.chaos.reader", asked)
    pod["metadata"]["annotations"] = {
        "raftsafe.io/inject": "true",
        "raftsafe.io/secrets": ",".join(secret.name for secret in given),
    }
    return pod


def _pod(run: Run, there: Store, name: str, module: str, asked: Made) -> Made:
    """Where safe pods are the image is, be it loaded by hand or pulled with a credential that is not ours."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "namespaces": [there.namespace],
        "labelSelector": {"matchLabels": LABELS},
    }
    container = {
        "name": CONTAINER,
        "image": there.image,
        "imagePullPolicy": there.pull_policy,
        "command": ["python3", "-m", module, json.dumps(asked, separators=(",", ":"))],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(run.seconds) + SLACK,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
            }
        },
        "containers": [container],
        **there.where,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: run.mark}}, "spec": spec}
