"""Which StatefulSet is a store to aim at, and what is read from the status of a pod."""

from __future__ import annotations

from typing import Any

import pytest

from statefulset import manifests
from statefulset.chaos import target
from statefulset.chaos.plan import Wanted
from statefulset.chaos.target import UnfitError


def installed(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """StatefulSet and webhook of an installation that safe-control has put in force."""
    documents = manifests.install(manifests.load(), manifests.Options(**options))
    (found,) = (each for each in documents if each["kind"] == "StatefulSet")
    (hook,) = (each for each in documents if each["kind"] == "MutatingWebhookConfiguration")
    hook["webhooks"][0]["clientConfig"]["caBundle"] = "Zm9v"
    return found, hook


@pytest.mark.parametrize("replicas", [3, 5])
def test_a_store_is_read_from_its_manifests(replicas: int) -> None:
    found, hook = installed(replicas=replicas, namespace="vault", image="localhost/x:1")
    found["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    there = target.store("vault", found, hook)
    assert there.nodes == tuple(f"safe-{number}" for number in range(replicas))
    assert (there.image, there.pull_policy, there.kept) == ("localhost/x:1", "IfNotPresent", True)
    assert there.where == {"tolerations": [{"operator": "Exists"}]}
    assert not target.store("raftsafe", *installed(ephemeral=True)).kept


def no_label(found: dict[str, Any], hook: dict[str, Any]) -> None:
    found["metadata"]["labels"]["app.kubernetes.io/name"] = "other"


def no_node(found: dict[str, Any], hook: dict[str, Any]) -> None:
    found["spec"]["template"]["spec"]["containers"][0]["name"] = "app"


def at_rest(found: dict[str, Any], hook: dict[str, Any]) -> None:
    found["spec"]["replicas"] = 0


def no_bundle(found: dict[str, Any], hook: dict[str, Any]) -> None:
    hook["webhooks"][0]["clientConfig"]["caBundle"] = ""


def of_another_store(found: dict[str, Any], hook: dict[str, Any]) -> None:
    hook["webhooks"][0]["clientConfig"]["service"]["namespace"] = "other"


@pytest.mark.parametrize("change", [no_label, no_node, at_rest, no_bundle, of_another_store])
def test_what_is_no_store_to_aim_at(change: Any) -> None:
    found, hook = installed()
    change(found, hook)
    with pytest.raises(UnfitError, match="raftsafe"):
        target.store("raftsafe", found, hook)
    with pytest.raises(UnfitError):
        target.store("raftsafe", None, installed()[1])
    with pytest.raises(UnfitError):
        target.store("raftsafe", installed()[0], None)


def wanted(percentage: int, sequence: Any = "parallel") -> Wanted:
    return Wanted(60, 10, True, percentage, sequence, 1, nodes=3)


def test_a_majority_without_volumes_would_lose_everything() -> None:
    kept, lost = target.store("raftsafe", *installed()), target.store("raftsafe", *installed(ephemeral=True))
    target.check(wanted(100), kept)
    target.check(wanted(34), lost)
    target.check(wanted(100, "serial"), lost)
    with pytest.raises(UnfitError, match="emptyDir"):
        target.check(wanted(67), lost)


def pod(name: str = "safe-0", ready: str = "True", uid: str = "u", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": uid},
        "status": {"conditions": [{"type": "Ready", "status": ready}], **status},
    }


def test_a_node_is_waited_for_until_another_pod_of_its_name_is_ready() -> None:
    nodes = ("safe-0", "safe-1")
    assert target.waiting(nodes, [pod(), pod("safe-1")]) == []
    assert target.waiting(nodes, [pod(), pod("safe-1", "False")]) == ["safe-1"]
    assert target.waiting(nodes, [pod()]) == ["safe-1"]
    assert target.waiting(nodes, [pod(uid="old"), pod("safe-1")], ["old"]) == ["safe-0"]
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert target.waiting(nodes, [leaving, pod("safe-1")]) == ["safe-0"]


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": 2, "state": state}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, ""),
        ({"containerStatuses": [container("app", waiting={"reason": "PodInitializing"})]}, ""),
        (
            {"containerStatuses": [container("app", waiting={"reason": "ErrImagePull", "message": "not there"})]},
            "app: ErrImagePull not there",
        ),
        (
            {"initContainerStatuses": [container("raftsafe-sidecar", terminated={"reason": "Error", "exitCode": 3})]},
            "raftsafe-sidecar: Error with code 3",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes fit"}]},
            "PodScheduled: 0/1 nodes fit",
        ),
        ({"reason": "DeadlineExceeded"}, "DeadlineExceeded"),
        ({"initContainerStatuses": [container("identity", terminated={"reason": "Completed", "exitCode": 0})]}, ""),
        (
            {
                "containerStatuses": [
                    {
                        **container("node", running={}),
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    }
                ]
            },
            "node: OOMKilled with code 137",
        ),
    ],
)
def test_why_a_pod_does_not_run(status: dict[str, Any], said: str) -> None:
    assert target.why(pod(**status)) == said


def test_restarts_and_ends() -> None:
    assert target.restarts(pod(containerStatuses=[container("app")])) == {"app": 2}
    assert [target.ended(pod(phase=phase)) for phase in ("Running", "Failed", "Succeeded")] == [False, True, True]
