"""The hands of the end-to-end tests: documents through the API server, `safe` as a person types it, patience.

Why it exists: the tests should read like what somebody does to a cluster. What it refuses to do: wait for a fixed time.
Everything is waited for by its condition, with one generous deadline, and said while it lasts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml
from kubernetes import client, config, stream

from statefulset.kube.api import Api, Document
from statefulset.kube.login import Login
from statefulset.kube.objects import AwayError, ForbiddenError

STORE = "raftsafe"
APP = os.environ.get("RAFTSAFE_E2E_NAMESPACE", "raftsafe-e2e")
CLASS = os.environ.get("RAFTSAFE_STORAGE_CLASS")
"""Unset: no volumes. Set, be it to nothing: claims of this class, or of none."""
SIZE = os.environ.get("RAFTSAFE_STORAGE_SIZE", "1Gi")
VOLUMES = int(os.environ.get("RAFTSAFE_VOLUMES", "6"))
PATIENCE = float(os.environ.get("RAFTSAFE_PATIENCE", "300"))
"""Seconds for anything to become true."""
NODE = os.environ.get("RAFTSAFE_NODE_IMAGE", "localhost/raftsafe/node:0.1.0")
CONTROL = os.environ.get("RAFTSAFE_CONTROL_IMAGE", "localhost/raftsafe/control:0.1.0")
SIDECAR = os.environ.get("RAFTSAFE_SIDECAR_IMAGE", "localhost/raftsafe/sidecar:0.1.0")
REASON = (
    ""
    if os.environ.get("KUBECONFIG")
    else "KUBECONFIG is not set: these tests need a real cluster that they may change"
)
PODS = f"/api/v1/namespaces/{STORE}/pods"
SET = f"/apis/apps/v1/namespaces/{STORE}/statefulsets/safe"
LABELS = "app.kubernetes.io/name=raftsafe,app.kubernetes.io/component=node"

PATHS = {
    "Namespace": ("api/v1", "namespaces"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Service": ("api/v1", "services"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Job": ("apis/batch/v1", "jobs"),
    "Pod": ("api/v1", "pods"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "SafeSecret": ("apis/raftsafe.io/v1alpha1", "safesecrets"),
    "MutatingWebhookConfiguration": ("apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"),
    "ValidatingAdmissionPolicy": ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"),
}


def folder(document: Document) -> str:
    """Where documents of its kind are made."""
    group, plural = PATHS[document["kind"]]
    namespace = document["metadata"].get("namespace")
    return f"/{group}/namespaces/{namespace}/{plural}" if namespace else f"/{group}/{plural}"


def said(text: str) -> None:
    print(f"\n[{time.strftime('%H:%M:%S')}] {text}", end="", flush=True)


class Driver:
    """One cluster, by KUBECONFIG."""

    def __init__(self) -> None:
        self.login = Login(os.environ["KUBECONFIG"], os.environ.get("RAFTSAFE_CONTEXT", ""))
        self.api: Api = self.login.api
        config.load_kube_config(os.environ["KUBECONFIG"], context=self.login.context)
        self.core = client.CoreV1Api()
        said(
            f"cluster {self.login.context}, namespaces {STORE} and {APP}, volumes: {'none' if CLASS is None else CLASS or 'without class'}"
        )

    def close(self) -> None:
        self.core.api_client.close()

    # -- waiting -----------------------------------------------------------------------------------------------------

    def until(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true answer. An API server that is away for a moment is a reason to ask again."""
        said(f"waiting: {what} ")
        began, shown, found = time.monotonic(), time.monotonic(), None
        while time.monotonic() - began < PATIENCE:
            with contextlib.suppress(AwayError):
                found = condition()
                if found:
                    print(f"[{time.monotonic() - began:.1f} s]", end="", flush=True)
                    return found
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(".", end="", flush=True)
            time.sleep(0.25)
        raise AssertionError(f"not within {PATIENCE:g} s: {what}; last seen: {found!r}")

    # -- documents ---------------------------------------------------------------------------------------------------

    def make(self, document: Document) -> Document:
        made = self.api.create(folder(document), document)
        assert made is not None, (
            f"{document['kind']} {document['metadata']['name']} is there already: not a clean cluster"
        )
        return made

    def find(self, document: Document) -> Document | None:
        return self.api.get(f"{folder(document)}/{document['metadata']['name']}")

    def remove(self, document: Document) -> None:
        self.api.delete(f"{folder(document)}/{document['metadata']['name']}")

    # -- the store ---------------------------------------------------------------------------------------------------

    def pods(self) -> dict[str, Document]:
        return {each["metadata"]["name"]: each for each in self.api.items(PODS, labelSelector=LABELS)}

    def ready(self, count: int, without: frozenset[str] = frozenset()) -> bool:
        """Are there `count` safe pods, all ready, none of them one of those by uid?"""
        pods = self.pods().values()
        good = [each for each in pods if is_ready(each) and each["metadata"]["uid"] not in without]
        return len(good) == count and len(list(pods)) == count

    def wait_ready(self, count: int, without: frozenset[str] = frozenset()) -> None:
        self.until(f"{count} nodes are ready", lambda: self.ready(count, without))

    def safe(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> str:
        """`safe` from here, through the API server, as the service account that the tests made."""
        command = [sys.executable, "-m", "statefulset.cli", "--context", self.login.context, "--namespace", STORE]
        command += ["--as-serviceaccount", f"{APP}/admin", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=2 * PATIENCE, check=False)
        told = f"safe {' '.join(arguments)}: code {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
        assert done.returncode == code, told
        return done.stdout.decode()

    def put(self, name: str, value: str) -> None:
        """To every workload of the tests."""
        self.safe("put", f"{APP}/{name}", "--for", f"{APP}/*", "--timeout", "120", stdin=value.encode())

    # -- pods --------------------------------------------------------------------------------------------------------

    def execute(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """What it prints, errors too."""
        return str(
            stream.stream(
                self.core.connect_get_namespaced_pod_exec, pod, namespace, container=container, command=list(command),
                stderr=True, stdin=False, stdout=True, tty=False, _request_timeout=60,
            )
        )  # fmt: skip

    def app_pod(self, app: str) -> str:
        """A running pod of a workload."""

        def running() -> str:
            for each in self.api.items(f"/api/v1/namespaces/{APP}/pods", labelSelector=f"app={app}"):
                if is_ready(each) and not each["metadata"].get("deletionTimestamp"):
                    return str(each["metadata"]["name"])
            return ""

        return str(self.until(f"a pod of {app} is ready", running))

    def file(self, pod: str, name: str) -> str:
        """The file of a secret as the application sees it; "" if there is none."""
        code = f"import pathlib; p = pathlib.Path('/run/secrets/raftsafe/{name}'); print(p.read_text() if p.exists() else '', end='')"
        return self.execute(APP, pod, "app", "python3", "-c", code)

    def arrives(self, pod: str, name: str, value: str) -> None:
        self.until(f"{name} in the files of {pod}", lambda: self.file(pod, name) == value)

    # -- what went wrong ---------------------------------------------------------------------------------------------

    def everything(self) -> str:
        """Pods, events and the ends of all logs, of both namespaces."""
        out: list[str] = []
        for namespace in (STORE, APP):
            with contextlib.suppress(AwayError, ForbiddenError):
                pods = list(self.api.items(f"/api/v1/namespaces/{namespace}/pods"))
                out += [
                    f"{namespace}/{each['metadata']['name']}: {yaml.safe_dump(each.get('status'))}" for each in pods
                ]
                for event in self.api.items(f"/api/v1/namespaces/{namespace}/events"):
                    about = event["involvedObject"]
                    out.append(
                        f"event {about.get('kind')} {about.get('name')}: {event.get('reason')}: {event.get('message')}"
                    )
                out += [self._logs(namespace, each) for each in pods]
        return "\n".join(out)

    def _logs(self, namespace: str, pod: Document) -> str:
        out, name = [], pod["metadata"]["name"]
        for kind in ("initContainers", "containers"):
            for container in pod["spec"].get(kind) or ():
                for previous in ("false", "true"):
                    query = {"container": container["name"], "tailLines": "60", "previous": previous}
                    with contextlib.suppress(AwayError, ForbiddenError):
                        text = self.api.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log", **query)
                        if text:
                            out.append(f"--- {namespace}/{name} {container['name']} (before: {previous})\n{text}")
        return "\n".join(out)


def is_ready(pod: Document) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def workload(kind: str, name: str, command: list[str], **annotations: str) -> Document:
    """A Deployment or a Job of one container, in the image of a node since that one is in the cluster anyway."""
    labels = {"app": name}
    pod: Document = {
        "metadata": {"labels": labels, "annotations": {"raftsafe.io/inject": "true", **annotations}},
        "spec": {
            "serviceAccountName": name,
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {
                    "name": "app",
                    "image": NODE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    metadata = {"name": name, "namespace": APP}
    if kind == "Job":
        pod["spec"]["restartPolicy"] = "Never"
        spec: Document = {"backoffLimit": 3, "template": pod}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
