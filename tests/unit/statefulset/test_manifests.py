"""What an installation may choose, and that choosing changes exactly that."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from statefulset import manifests, podsecurity
from statefulset.manifests import ManifestError, Options


def made(**options: Any) -> list[dict[str, Any]]:
    return manifests.install(manifests.load(), Options(**options))


def the(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def differences(one: Any, two: Any, path: str = "") -> set[str]:
    """Where two documents differ, as paths."""
    if isinstance(one, dict) and isinstance(two, dict):
        return set().union(*(differences(one.get(k), two.get(k), f"{path}/{k}") for k in {*one, *two}))
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return set().union(*(differences(a, b, f"{path}/{i}") for i, (a, b) in enumerate(zip(one, two, strict=True))))
    return set() if one == two else {path}


def changes(**options: Any) -> set[str]:
    before, after = made(), made(**options)
    return set().union(*(differences(a, b, a["kind"]) for a, b in zip(before, after, strict=True)))


def test_no_choice_is_the_packaged_files():
    assert made() == manifests.load()
    assert list(yaml.safe_load_all(manifests.render(made()))) == made()
    assert manifests.render(made()) == manifests.render(made())


def test_five_nodes_know_each_other():
    assert changes(replicas=5) == {
        "StatefulSet/spec/replicas",
        "StatefulSet/spec/template/spec/containers/0/env/2/value",
    }
    assert manifests.peers(5).endswith(",safe-4=safe-4.safe-peers:8300")
    names = {item.partition("=")[0] for item in manifests.peers(5).split(",")}
    assert names == {f"safe-{i}" for i in range(5)}


def test_the_image_of_every_container():
    at = "StatefulSet/spec/template/spec"
    assert changes(image="r.example:5000/safe/node:2") == {f"{at}/initContainers/0/image", f"{at}/containers/0/image"}


def test_volumes_of_a_class_of_none_and_of_another_size():
    claim = "StatefulSet/spec/volumeClaimTemplates/0/spec"
    assert changes(storage_class="", storage_size="1Gi") == {
        f"{claim}/storageClassName",
        f"{claim}/resources/requests/storage",
    }
    template = the(made(storage_class=""), "StatefulSet")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["storageClassName"] == ""


def test_a_prometheus_is_let_in_by_its_name():
    alone, watched = made(), made(monitor="metrics/prom", namespace="vault-2")
    added = watched[len(alone) :]
    kinds = [each["kind"] for each in added]
    assert kinds.count("ServiceMonitor") == kinds.count("PrometheusRule") == kinds.count("NetworkPolicy") == 1
    subjects = [(s["namespace"], s["name"]) for each in added for s in each.get("subjects", ())]
    assert subjects == [("metrics", "prom")] * 2
    (source,) = the(added, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "metrics"}
    assert {each["metadata"].get("namespace", "vault-2") for each in added} == {"vault-2"}
    assert the(added, "ClusterRoleBinding")["roleRef"]["name"] == the(added, "ClusterRole")["metadata"]["name"]
    assert "namespace: raftsafe" not in manifests.render(watched)
    assert made(monitor="monitoring/prometheus-k8s")[len(alone) :] == manifests.load(manifests.MONITORING)


@pytest.mark.parametrize("account", ["prometheus", "a/b/c", "A/b", "/b", "a/"])
def test_a_prometheus_is_a_service_account(account):
    with pytest.raises(ManifestError, match="--service-monitor"):
        Options(monitor=account)


def test_no_volumes():
    spec = the(made(ephemeral=True), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in spec
    assert {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}} in spec["template"]["spec"]["volumes"]


def test_another_namespace_shares_no_object_with_the_first():
    def key(document: dict[str, Any]) -> tuple[str, str, str]:
        metadata = document["metadata"]
        return document["kind"], metadata.get("namespace", ""), metadata["name"]

    first, second = made(), made(namespace="vault-2")
    shared = {key(each) for each in first} & {key(each) for each in second}
    assert {kind for kind, _, _ in shared} == set(manifests._ONE_PER_CLUSTER), "there is one injector in a cluster"
    text = manifests.render(second)
    assert "namespace: raftsafe" not in text
    bound = {each["metadata"]["name"] for each in second if each["kind"] in ("Role", "ClusterRole")}
    assert {each["roleRef"]["name"] for each in second if "roleRef" in each} <= bound


@pytest.mark.parametrize(
    "options",
    [
        {"replicas": 4},
        {"replicas": 1},
        {"namespace": "Upper"},
        {"namespace": "a.b"},
        {"namespace": "kube-system"},
        {"namespace": "default"},
        {"namespace": "a\nb"},
        {"image": "has space"},
        {"image": "UPPER/case:1"},
        {"image": "x:1\nevil: yes"},
        {"image": ""},
        {"storage_class": "No Such"},
        {"storage_size": "4"},
        {"storage_size": "4G"},
        {"ephemeral": True, "storage_size": "4Gi"},
        {"ephemeral": True, "storage_class": ""},
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_the_option(options):
    with pytest.raises(ManifestError, match=rf"--{next(iter(options)).replace('_', '-')}"):
        Options(**options)


@pytest.mark.parametrize("image", ["node", "node:1", "a/b/c", "r.example:5000/a/b:v1.2-x", "localhost/raftsafe/node:0.1.0",
                                   "a/b@sha256:" + "0" * 64])  # fmt: skip
def test_image_names_that_people_have(image):
    assert Options(image=image).image == image


def test_a_kustomization_that_does_more_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("kind: ConfigMap\n")
    listing = tmp_path / "kustomization.yaml"
    listing.write_text("kind: Kustomization\nresources: [a.yaml]\n")
    assert manifests.load(tmp_path) == [{"kind": "ConfigMap"}]
    listing.write_text("kind: Kustomization\nresources: [a.yaml]\nnamePrefix: x\n")
    with pytest.raises(ManifestError, match="may hold"):
        manifests.load(tmp_path)
    listing.write_text("kind: Kustomization\nresources: [a.yaml]\n")
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(ManifestError, match="not a Kubernetes object"):
        manifests.load(tmp_path)


def test_a_place_that_is_missing_is_an_error():
    documents = copy.deepcopy(manifests.load())
    the(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["env"].pop(2)
    with pytest.raises(ManifestError, match="SAFE_PEERS"):
        manifests.install(documents, Options())


def test_the_pods_meet_the_restricted_standard_and_the_selectors_meet_the_pods():
    documents, met = made(), 0
    for kind in ("StatefulSet", "Deployment"):
        template = the(documents, kind)["spec"]["template"]
        assert podsecurity.violations(template["spec"]) == []
        labels = template["metadata"]["labels"]
        assert the(documents, kind)["spec"]["selector"]["matchLabels"].items() <= labels.items()
        for document in documents:
            selector = (
                document["spec"].get("selector", {}) if document["kind"] in ("Service", "PodDisruptionBudget") else {}
            )
            selector = selector.get("matchLabels", selector)
            met += bool(selector) and selector.items() <= labels.items()
    assert met == len([each for each in documents if each["kind"] in ("Service", "PodDisruptionBudget")])


def test_certificates_carry_every_name_of_every_service():
    documents = made()
    container = the(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    env = {each["name"]: each.get("value") for each in container["env"]}
    names = set(env["SAFE_SERVER_NAMES"].split(","))
    services = [each["metadata"] for each in documents if each["kind"] == "Service"]
    for service in (each["name"] for each in services if each["labels"]["app.kubernetes.io/component"] == "node"):
        host = f"$(SAFE_NAME).{service}" if service == "safe-peers" else service
        for domain in ("", ".$(SAFE_NAMESPACE)", ".$(SAFE_NAMESPACE).svc", ".$(SAFE_NAMESPACE).svc.cluster.local"):
            assert host + domain in names
    order = [each["name"] for each in container["env"]]
    assert max(map(order.index, ("SAFE_NAME", "SAFE_NAMESPACE"))) < order.index("SAFE_SERVER_NAMES")


def test_the_webhook_serves_on_until_nobody_is_sent_to_it():
    """A call to a pod that has stopped denies somebody's pod (failurePolicy Fail), and the grace period covers it."""
    (hook,) = the(made(), "MutatingWebhookConfiguration")["webhooks"]
    pod = the(made(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert hook["failurePolicy"] == "Fail" and hook["timeoutSeconds"] <= pause
    assert pause + 20 <= pod["terminationGracePeriodSeconds"]
