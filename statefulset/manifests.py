"""The manifests of an installation as data: read from the packaged files, edited where somebody may choose.

Why it exists: `safe install` must print what `kubectl apply -k statefulset/base` applies, from one source, on machines
that have neither kustomize nor this repository. Every edit names the one place it changes.
What it refuses to do: render text templates, be a second kustomize (a kustomization that says more than `resources` is
refused), or add a key that was not there without saying so: a place that is missing is an error, not a no-op.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Document = dict[str, Any]

BASE: Final = Path(__file__).parent / "base"
MONITORING: Final = Path(__file__).parent / "components" / "monitoring"
NAMESPACE: Final = "raftsafe"
REPLICAS: Final = (3, 5)
"""Two nodes lost need five; an even number survives no more losses than the odd one below it."""
NODE_IMAGE: Final = "localhost/raftsafe/node"
CONTROL_IMAGE: Final = "localhost/raftsafe/control"
SIDECAR: Final = "SAFE_SIDECAR_IMAGE"
PEER_PORT: Final = 8300
MAX_FILE: Final = 256 << 10
"""Bytes of one packaged file, so that a wrong path is not read to its end."""
_PLAIN_KEYS: Final = {"apiVersion", "kind", "sortOptions", "resources"}
_CLUSTER_SCOPED: Final = ("Namespace", "ClusterRole", "ClusterRoleBinding")
_ONE_PER_CLUSTER: Final = (
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
"""Keep their names: two injectors would both want every pod."""
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Image references as the distribution project has them (reference.go), without the exotic parts.
_IMAGE: Final = re.compile(
    r"[a-z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_SIZE: Final = re.compile(r"[1-9][0-9]*(Mi|Gi|Ti)")
_ACCOUNT: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_CLASS: Final = re.compile(r"|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class ManifestError(Exception):
    """An option that cannot be (the message names it), or packaged files that are not what this module expects."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What an installation may choose. None: as in the packaged files.

    `storage_class`: "" asks for a volume without a class, as volumes made by hand mostly are. `ephemeral`: no claims,
    data in an emptyDir, as the overlay `dev` has it. `monitor`: namespace/name of the service account of a Prometheus
    that scrapes the nodes.
    """

    replicas: int = 3
    namespace: str = NAMESPACE
    image: str | None = None
    control_image: str | None = None
    sidecar_image: str | None = None
    storage_class: str | None = None
    storage_size: str | None = None
    ephemeral: bool = False
    monitor: str | None = None

    def __post_init__(self) -> None:
        if self.replicas not in REPLICAS:
            raise ManifestError("--replicas must be 3 or 5")
        if not _LABEL.fullmatch(self.namespace):
            raise ManifestError("--namespace must be a DNS label: lower-case letters, digits and '-', at most 63")
        if self.namespace == "default" or self.namespace.startswith("kube-"):
            raise ManifestError(
                "--namespace must be one of its own: it is held to the restricted Pod Security Standard and closed "
                "by network policies"
            )
        for option, image in (
            ("--image", self.image),
            ("--control-image", self.control_image),
            ("--sidecar-image", self.sidecar_image),
        ):
            if image is not None and (len(image) > 512 or not _IMAGE.fullmatch(image)):
                raise ManifestError(f"{option} must be an image name, for example registry.example/raftsafe/node:0.1.0")
        if self.storage_class is not None and not _CLASS.fullmatch(self.storage_class):
            raise ManifestError("--storage-class must be the name of a StorageClass, or empty for none")
        if self.storage_size is not None and not _SIZE.fullmatch(self.storage_size):
            raise ManifestError("--storage-size must be a number with Mi, Gi or Ti, for example 4Gi")
        if self.monitor is not None and not _ACCOUNT.fullmatch(self.monitor):
            raise ManifestError(
                "--service-monitor must be Prometheus' service account, for example monitoring/prometheus-k8s"
            )
        if self.ephemeral and (self.storage_class is not None or self.storage_size is not None):
            raise ManifestError("--ephemeral has no volumes: leave out --storage-class and --storage-size")


def load(folder: Path = BASE) -> list[Document]:
    """The documents of a kustomization, in its order. Raises ManifestError if it is more than a list of files."""
    listing = _parse(folder / "kustomization.yaml")
    if len(listing) != 1 or not set(listing[0]) <= _PLAIN_KEYS:
        raise ManifestError(f"{folder.name}/kustomization.yaml may hold {', '.join(sorted(_PLAIN_KEYS))} only")
    out: list[Document] = []
    for name in listing[0]["resources"]:
        path = folder / name
        out += load(path) if path.is_dir() else _parse(path)
    return out


def _parse(path: Path) -> list[Document]:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ManifestError(f"{path.name} is larger than {MAX_FILE} bytes")
    documents = list(yaml.safe_load_all(data))
    if not all(isinstance(document, dict) and "kind" in document for document in documents):
        raise ManifestError(f"{path.name} holds something that is not a Kubernetes object")
    return documents


def install(documents: list[Document], options: Options) -> list[Document]:
    """The documents as `options` wants them, and those of what is chosen besides. `documents` are changed in place."""
    if options.monitor is not None:
        documents = [*documents, *_watched(load(MONITORING), *options.monitor.split("/"))]
    for document in documents:
        _move(document, options.namespace)
        if document["kind"] == "StatefulSet":
            _nodes(document["spec"], options)
        elif document["kind"] == "Deployment":
            _control(document["spec"]["template"]["spec"], options)
    return documents


def render(documents: list[Document]) -> str:
    """YAML of one stream; the same text for the same documents."""
    return str(yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False, width=1 << 16))


def peers(replicas: int) -> str:
    """SAFE_PEERS: the stable names of the pods, short so that neither namespace nor cluster domain stands in them."""
    return ",".join(f"safe-{i}=safe-{i}.safe-peers:{PEER_PORT}" for i in range(replicas))


def _move(document: Document, namespace: str) -> None:
    """Into `namespace`. What has no namespace gets its name, so that two installations keep out of each other's way."""
    if namespace == NAMESPACE:
        return
    metadata = document["metadata"]
    if document["kind"] == "Namespace":
        metadata["name"] = namespace
    elif document["kind"] in _CLUSTER_SCOPED:
        metadata["name"] = f"{metadata['name']}-{namespace}"
    elif document["kind"] in _ONE_PER_CLUSTER:
        _follow(document, namespace)
    else:
        metadata["namespace"] = namespace
    reference = document.get("roleRef", {})
    if reference.get("kind") == "ClusterRole" and reference["name"].startswith("raftsafe"):
        reference["name"] = f"{reference['name']}-{namespace}"
    for subject in document.get("subjects", ()):
        if subject.get("namespace") == NAMESPACE:
            subject["namespace"] = namespace


def _watched(documents: list[Document], namespace: str, account: str) -> list[Document]:
    """By a Prometheus that runs there as this service account."""
    for document in documents:
        for subject in document.get("subjects", ()):
            subject.update(namespace=namespace, name=account)
        if document["kind"] == "NetworkPolicy":
            ((source,),) = (rule["from"] for rule in document["spec"]["ingress"])
            source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] = namespace
    return documents


def _follow(document: Document, namespace: str) -> None:
    """The webhook is where the namespace is, and keeps out of it."""
    for hook in document.get("webhooks", ()):
        hook["clientConfig"]["service"]["namespace"] = namespace
        (selector,) = hook["namespaceSelector"]["matchExpressions"]
        selector["values"] = [namespace if each == NAMESPACE else each for each in selector["values"]]


def _control(pod: Document, options: Options) -> None:
    if options.control_image is not None:
        for container in _running(pod, CONTROL_IMAGE):
            container["image"] = options.control_image
    if options.sidecar_image is not None:
        _variable(pod, SIDECAR)["value"] = options.sidecar_image


def _nodes(spec: Document, options: Options) -> None:
    pod = spec["template"]["spec"]
    spec["replicas"] = options.replicas
    _variable(pod, "SAFE_PEERS")["value"] = peers(options.replicas)
    if options.image is not None:
        for container in _running(pod, NODE_IMAGE):
            container["image"] = options.image
    (claim,) = spec["volumeClaimTemplates"]
    if options.storage_class is not None:
        claim["spec"]["storageClassName"] = options.storage_class
    if options.storage_size is not None:
        requests = claim["spec"]["resources"]["requests"]
        requests.update(storage=options.storage_size)
    if options.ephemeral:
        del spec["volumeClaimTemplates"], spec["persistentVolumeClaimRetentionPolicy"]
        pod["volumes"].append({"name": claim["metadata"]["name"], "emptyDir": {"sizeLimit": "1Gi"}})


def _running(pod: Document, repository: str) -> Iterator[Document]:
    """The containers made from an image of ours."""
    found = [each for key in ("initContainers", "containers") for each in pod.get(key, ())]
    found = [each for each in found if each["image"].rpartition(":")[0] == repository]
    if not found:
        raise ManifestError(f"no container runs {repository}")
    yield from found


def _variable(pod: Document, name: str) -> Document:
    """The one environment entry of that name in the first container."""
    found = [each for each in pod["containers"][0]["env"] if each["name"] == name]
    if len(found) != 1:
        raise ManifestError(f"the container sets {name} {len(found)} times, not once")
    entry: Document = found[0]
    return entry
