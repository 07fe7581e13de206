"""What is wrong with which pod: metadata of pods and what nodes say of their sidecars -> troubles.

Why it exists: whoever runs a pod looks at the pod, not at the store. Each trouble names what to do about it, and is
worked out from what is, so that a restart of the controller changes nothing.
What it refuses to do: look into a pod (metadata is enough), tell who else has a secret that this pod may not have, or
call a pod lost while a node that may have it has not answered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from statefulset.injector import vault
from statefulset.injector.admission import SYSTEM
from statefulset.injector.annotations import Refused, read, wanted
from statefulset.injector.patch import INJECTED

SOON: Final = 45.0
"""Seconds a pod may lack something before that is said: pod, secret and grant are often made in one go."""
LATER: Final = 180.0
"""The same for what passes by itself more often than not: a node without a quorum, a sidecar that looks for a node."""
SHOWN: Final = 3
"""Secrets of a pod that the store is asked about; the rest is counted."""

Metadata = Mapping[str, Any]
Receipt = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """Of one pod. `reason`: one word for machines; `patience`: seconds it has to last before it is said. With `lacks`,
    names of secrets, the store has to be asked why `account` does not get them (`judged`)."""

    namespace: str
    pod: str
    uid: str
    reason: str
    message: str
    patience: float = 0.0
    account: str = ""
    lacks: tuple[str, ...] = ()


def missed(pods: Iterable[Metadata], own_namespace: str) -> Iterator[Trouble]:
    """Pods that asked for injection and were made without it, as when the webhook was not there yet.

    A pod whose wish cannot be read was admitted before we could refuse it; it is among them."""
    for metadata in pods:
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if metadata["namespace"] in SYSTEM | {own_namespace} or INJECTED in labels or metadata.get("deletionTimestamp"):
            continue
        try:
            asked = wanted(labels, annotations)
        except Refused:
            asked = True
        if asked:
            yield _of(
                metadata,
                "NotInjected",
                "this pod asks for raftsafe.io/inject and was made without the sidecar; delete it to have it made anew",
            )


def unserved(
    pods: Iterable[Metadata], receipts: Iterable[Receipt], stale: Collection[str], whole: bool
) -> Iterator[Trouble]:
    """Of injected pods. `receipts`: as GET /v1/sidecars has them, of all nodes; `stale`: nodes without a quorum;
    `whole`: every node has answered."""
    known: dict[tuple[str, str], Receipt] = {}
    for receipt in receipts:
        key = receipt["namespace"], receipt["pod"]
        if receipt["connected"] or key not in known:
            known[key] = receipt
    for metadata in pods:
        if metadata.get("deletionTimestamp"):
            continue
        found = known.get((metadata["namespace"], metadata["name"]))
        if found is not None and found["connected"]:
            yield from _of_sidecar(metadata, found, stale)
        elif whole and _stays(metadata):
            yield _of(
                metadata,
                "SidecarNotConnected",
                "no node has the sidecar of this pod; the files it has stay as they are. Its log says why "
                f"(kubectl logs -n {metadata['namespace']} {metadata['name']} -c raftsafe-sidecar): a token that is "
                "refused, no way to port 8400 of the nodes, another store's CA",
                LATER,
            )


def _of_sidecar(metadata: Metadata, receipt: Receipt, stale: Collection[str]) -> Iterator[Trouble]:
    lacks = tuple(sorted(set(receipt.get("want") or ()) - receipt["placed"].keys()))
    if lacks:
        account = f"{receipt['namespace']}/{receipt['serviceaccount']}"
        yield _of(metadata, "SecretMissing", "", SOON, account, lacks)
    if receipt["error"] == "no_space":
        yield _of(
            metadata,
            "VolumeFull",
            "the memory volume is full, the last good files are in place; annotation raftsafe.io/size makes it larger",
            SOON,
        )
    elif receipt["error"] == "write_failed":
        yield _of(
            metadata,
            "VolumeNotWritable",
            "the sidecar cannot write its volume, the last good files are in place; its log says why",
            SOON,
        )
    if receipt["render"]:
        text = f"a file could not be rendered, the last good files are in place: {receipt['render']}"
        yield _of(metadata, "RenderFailed", text, SOON)
    if receipt["notify"]:
        text = f"new files are in place and the application could not be told: {receipt['notify']}"
        yield _of(metadata, "NotifyFailed", text, SOON)
    if receipt["node"] in stale:
        text = (
            f"{receipt['node']}, which serves this pod, has no quorum: its files may not be the newest; `safe status`"
        )
        yield _of(metadata, "Stale", text, LATER)


def _of(metadata: Metadata, reason: str, message: str, patience: float = 0.0, *asked: Any) -> Trouble:
    return Trouble(
        metadata["namespace"], metadata["name"], metadata.get("uid") or "", reason, message, patience, *asked
    )


def _stays(metadata: Metadata) -> bool:
    """Whether the pod's sidecar runs as long as the pod; one that fetches once is gone when it is done."""
    given, namespace = metadata.get("annotations") or {}, metadata["namespace"]
    try:
        return read(vault.translate(given, namespace)[0] | dict(given), namespace).mode != "init"
    except Refused:
        return True


def judged(trouble: Trouble, verdicts: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """With the store's words for the first of `lacks` (GET /v1/explain). None: the pod may have all of them, so that
    they are on their way."""
    refused = [each for each in verdicts if not each["allowed"]]
    if not refused:
        return None
    code = refused[0]["code"]
    reason = "Secret" + "".join(word.capitalize() for word in code.split("_"))
    sentences = [_sentence(each, trouble.account) for each in refused]
    if more := len(trouble.lacks) - len(verdicts):
        sentences.append(f"{more} more")
    return dataclasses.replace(trouble, reason=reason, message="; ".join(sentences))


def _sentence(verdict: Mapping[str, Any], account: str) -> str:
    """Who else has a secret is not for those to know who may not have it: the detail of that refusal is left out."""
    detail = f"it is not granted to {account}" if verdict["code"] == "not_granted" else verdict["detail"]
    hint = f" ({verdict['hint']})" if verdict["hint"] else ""
    return f"this pod does not get {verdict['secret']}: {detail}{hint}"
