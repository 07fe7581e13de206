from __future__ import annotations

import pytest

from statefulset.injector.admission import review

from .conftest import INJECTOR, ask, pod


def test_a_pod_that_asks_for_nothing_is_left_alone():
    assert ask({"metadata": {}, "spec": {"containers": [{"name": "a"}]}}) == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize("namespace", ["raftsafe", "kube-system", "kube-public"])
def test_never_in_its_own_namespace_or_the_systems(namespace):
    assert ask(pod(), namespace=namespace) == {"uid": "u-1", "allowed": True}


def test_a_label_alone_is_enough():
    what = pod()
    what["metadata"] = {"labels": {"raftsafe.io/inject": "true"}}
    assert "patch" in ask(what)


def test_only_creation():
    assert "patch" not in ask(pod(), operation="UPDATE")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"apiVersion": "admission.k8s.io/v1"},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}},
        {"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u", "kind": {"kind": "Pod"}, "object": {}}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "kind": {"kind": "Node"}, "object": {}}},
    ],
)
def test_what_is_no_review_is_an_error(body):
    with pytest.raises(ValueError, match=r"[rR]eview"):
        review(body, INJECTOR, "raftsafe")


def test_a_file_mode_that_nobody_else_can_read_is_warned_of():
    assert "fsGroup" in ask(pod({"raftsafe.io/file-mode": "0400"}))["warnings"][0]
    assert "warnings" not in ask(pod({"raftsafe.io/file-mode": "0440"}, securityContext={"fsGroup": 5}))


def test_root_is_warned_of():
    assert "runs as root" in ask(pod({"raftsafe.io/user": "0"}))["warnings"][0]


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirst"}, "dnsPolicy ClusterFirstWithHostNet"),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, None),
        ({"dnsPolicy": "Default"}, "dnsPolicy ClusterFirst"),
        ({"dnsPolicy": "ClusterFirst"}, None),
        ({"dnsPolicy": "None"}, None),
    ],
)
def test_a_pod_that_does_not_ask_the_clusters_dns_is_warned(spec, remedy):
    said = ask(pod(**spec)).get("warnings", [])
    assert [text.rpartition(": ")[2] for text in said] == ([remedy] if remedy else [])


def test_warnings_stay_within_what_the_api_server_passes_on():
    many = {f"vault.hashicorp.com/agent-inject-command-{n:03}{'x' * 300}": "true" for n in range(40)}
    warnings = ask(pod({"vault.hashicorp.com/agent-inject": "true", **many}))["warnings"]
    assert max(map(len, warnings)) <= 256 and sum(map(len, warnings)) <= 4096
