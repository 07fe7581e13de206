"""The store that is aimed at, read from its StatefulSet, and what a pod's status says.

Why it exists: what may be deleted is decided here, on documents, before anything is: the pods of one StatefulSet of
ours in one namespace that somebody has named.
What it refuses to do: guess that something is a store, or aim at one that would lose its data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from statefulset.chaos.plan import Wanted

SET: Final = "safe"
NODE: Final = "node"
LABELS: Final = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/component": "node"}
NODES: Final = ",".join(f"{key}={value}" for key, value in LABELS.items())
WEBHOOK: Final = "raftsafe"
QUIET: Final = (("waiting", "PodInitializing"), ("terminated", "Completed"))
"""States of a container that explain nothing: its turn has not come, or it is through."""
MAX_TOLD: Final = 200
"""Characters of what a kubelet says about a container."""

Document = Mapping[str, Any]


class UnfitError(Exception):
    """This is nothing to aim at. The message says why."""


@dataclasses.dataclass(frozen=True)
class Store:
    """`nodes`: names of its pods. `image`: of a node. `where`: nodeSelector and tolerations, so that other pods find
    room where these do. `kept`: a deleted pod finds its disk again."""

    namespace: str
    nodes: tuple[str, ...]
    image: str
    pull_policy: str
    where: Document
    kept: bool


def store(namespace: str, found: Document | None, webhook: Document | None) -> Store:
    """`found`: StatefulSet `safe` of `namespace`; `webhook`: the MutatingWebhookConfiguration. Raises UnfitError."""
    if found is None or not labelled(found):
        raise UnfitError(f"namespace {namespace} has no StatefulSet {SET} of raftsafe")
    spec = found["spec"]
    pod = spec["template"]["spec"]
    container = next((each for each in pod["containers"] if each["name"] == NODE), None)
    if container is None or spec.get("replicas", 1) < 1:
        raise UnfitError(f"the StatefulSet {SET} in {namespace} runs no node")
    hooks: list[Document] = (webhook or {}).get("webhooks") or [{}]
    client = hooks[0].get("clientConfig") or {}
    if not client.get("caBundle") or (client.get("service") or {}).get("namespace") != namespace:
        raise UnfitError(
            f"the webhook that injects sidecars is not in force for the store in {namespace}, so no pod could read"
        )
    return Store(
        namespace,
        tuple(f"{SET}-{number}" for number in range(spec.get("replicas", 1))),
        container["image"],
        container.get("imagePullPolicy", "IfNotPresent"),
        {key: pod[key] for key in ("nodeSelector", "tolerations") if pod.get(key)},
        bool(spec.get("volumeClaimTemplates")),
    )


def check(wanted: Wanted, there: Store) -> None:
    """Raises UnfitError for what would lose acknowledged writes by design and not by mistake."""
    if not there.kept and not wanted.minority:
        raise UnfitError(
            "its pods have no volumes (emptyDir): a majority deleted at once takes every secret with it. Choose a "
            "lower --percentage, or --sequence serial"
        )


def labelled(document: Document) -> bool:
    return LABELS.items() <= (document["metadata"].get("labels") or {}).items()


def uid(pod: Document) -> str:
    return str(pod["metadata"]["uid"])


def ready(pod: Document) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    well = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return well and not pod["metadata"].get("deletionTimestamp")


def waiting(nodes: Iterable[str], pods: Iterable[Document], gone: Iterable[str] = ()) -> list[str]:
    """Names of `nodes` that have no ready pod, other than those with the uids `gone`."""
    there = {pod["metadata"]["name"] for pod in pods if ready(pod) and uid(pod) not in set(gone)}
    return [name for name in nodes if name not in there]


def _containers(pod: Document) -> Iterator[Document]:
    status = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(kind) or ()


def _states(container: Document) -> Iterator[tuple[str, Document]]:
    """How it is, and how it ended the last time."""
    for found in (container.get("state") or {}, container.get("lastState") or {}):
        for kind in ("waiting", "terminated"):
            yield kind, found.get(kind) or {}


def ended(pod: Document) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def restarts(pod: Document) -> dict[str, int]:
    """Container -> how often it was started again."""
    return {each["name"]: int(each.get("restartCount", 0)) for each in _containers(pod)}


def why(pod: Document) -> str:
    """Why it does not run, in the words of scheduler and kubelet; "" if they say nothing."""
    status = pod.get("status") or {}
    out = []
    for each in _containers(pod):
        for kind, state in _states(each):
            if state.get("reason") and (kind, state["reason"]) not in QUIET:
                code = f" with code {state['exitCode']}" if state.get("exitCode") else ""
                out.append(f"{each['name']}: {state['reason']}{code} {state.get('message', '')}".strip())
    if not out:
        out = [
            f"{each.get('reason', each['type'])}: {each['message']}"
            for each in status.get("conditions") or ()
            if each["type"] == "PodScheduled" and each["status"] == "False" and each.get("message")
        ]
    return "; ".join(line[:MAX_TOLD] for line in out) or str(status.get("reason") or "")
