"""The documents of a run: let in by the restricted standard, injected by the real injector, understood by their programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statefulset import manifests
from statefulset.chaos import load, target, workloads
from statefulset.podsecurity import violations

from ..farside.kubelet import admitted, command
from .test_target import installed

RUN = workloads.named("0a1b", 3, 7, 120)
STORE = target.store("raftsafe", *installed())


def injected(name: str) -> dict[str, Any]:
    pod = workloads.reader(RUN, STORE, name)
    pod["metadata"]["namespace"] = RUN.namespace
    return admitted("raftsafe", "pods", pod)


def test_all_pods_are_let_in_by_the_restricted_standard() -> None:
    for pod in (workloads.writer(RUN, STORE), *(injected(name) for name in RUN.readers)):
        assert violations(pod["spec"]) == []
        assert pod["spec"]["activeDeadlineSeconds"] > RUN.seconds, "it ends, whoever forgets it"


def test_readers_are_injected_and_wait_for_exactly_what_they_read() -> None:
    pod = injected("reader-1")
    assert pod["metadata"]["labels"]["raftsafe.io/injected"] == "true"
    (sidecar,) = pod["spec"]["initContainers"]
    env = {each["name"]: each.get("value") for each in sidecar["env"]}
    module, asked = command(pod)
    (only,) = asked["pods"].values()
    assert module == "statefulset.chaos.reader" and list(asked["pods"]) == ["reader-1"]
    assert set(env["SAFE_SECRETS"].split(",")) == set(only["secrets"])
    mounts = {each["name"]: each["mountPath"] for each in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["raftsafe"] == only["mount"]


def test_every_secret_is_written_by_one_writer_and_granted_inside_the_namespace() -> None:
    module, asked = command(workloads.writer(RUN, STORE))
    assert module == "statefulset.chaos.writer"
    written = [secret for share in asked["shares"] for secret in share["secrets"]]
    assert sorted(secret["name"] for secret in written) == sorted(RUN.secrets) == sorted(set(RUN.secrets))
    granted = {name: {each.name for each in load.of_pod(RUN.namespace, name)} for name in RUN.readers}
    for secret in written:
        assert all(grant.startswith(f"{RUN.namespace}/") for grant in secret["grants"])
        for name in RUN.readers:
            entitled = {f"{RUN.namespace}/*", f"{RUN.namespace}/{name}"} & set(secret["grants"])
            assert bool(entitled) == (secret["name"] in granted[name])


def test_servers_are_names_in_the_nodes_certificates() -> None:
    (statefulset,) = (each for each in manifests.load() if each["kind"] == "StatefulSet")
    env = statefulset["spec"]["template"]["spec"]["containers"][0]["env"]
    (names,) = (each["value"] for each in env if each["name"] == "SAFE_SERVER_NAMES")
    for node, server in zip(STORE.nodes, workloads.servers(STORE), strict=True):
        shown = names.replace("$(SAFE_NAME)", node).replace("$(SAFE_NAMESPACE)", "raftsafe").split(",")
        assert server.removeprefix("https://").removesuffix(":8500") in shown


def test_what_the_writer_may_is_part_of_what_an_editor_may() -> None:
    (editor,) = (each for each in manifests.load() if each["metadata"]["name"] == "raftsafe-editor")
    allowed = {(res, verb) for rule in editor["rules"] for res in rule["resources"] for verb in rule["verbs"]}
    asked = {(res, verb) for rule in workloads.RULES for res in rule["resources"] for verb in rule["verbs"]}
    assert asked < allowed and ("safesecrets/value", "get") not in asked


def test_everything_made_carries_the_mark_and_no_two_runs_share_a_name() -> None:
    documents = [document for _, document in workloads.around(RUN, "PEM")]
    documents += [workloads.namespace(RUN), workloads.writer(RUN, STORE), workloads.reader(RUN, STORE, "reader-0")]
    assert {each["metadata"]["labels"][workloads.LABEL] for each in documents} == {"0a1b"}
    assert all(each["apiVersion"] and each["kind"] for each in documents)
    assert RUN.namespace != workloads.named("0a1c", 3, 7, 120).namespace
    assert json.dumps(documents)


@pytest.mark.parametrize("label", ["raftsafe.io/admin"])
def test_the_network_policy_lets_the_writer_in(label: str) -> None:
    policies = [each for each in manifests.load() if each["kind"] == "NetworkPolicy"]
    doors = [rule for policy in policies for rule in policy["spec"].get("ingress") or ()]
    (admin,) = (rule for rule in doors if any(port["port"] == workloads.PORT for port in rule["ports"]))
    wanted = [each["namespaceSelector"]["matchLabels"] for each in admin["from"] if "namespaceSelector" in each]
    assert wanted == [{label: workloads.namespace(RUN)["metadata"]["labels"][label]}]
