"""The life of an installation, from nothing to nothing. The tests go on from one another, in this order.

`tox run -e e2e`, with KUBECONFIG and the variables that tests/DESIGN.md lists ("End to end").
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from driver import (
    APP,
    CLASS,
    CONTROL,
    LABELS,
    NODE,
    PATHS,
    PODS,
    REASON,
    SET,
    SIDECAR,
    SIZE,
    STORE,
    VOLUMES,
    Driver,
    folder,
    said,
    workload,
)
from kubernetes.client.exceptions import ApiException

from statefulset.kube.api import Document

pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "a cluster is there")
volumes = pytest.mark.skipif(CLASS is None, reason="RAFTSAFE_STORAGE_CLASS is not set: without volumes nothing is kept")
WAITS = ["python3", "-c", "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"]
BUNDLES = "app.kubernetes.io/managed-by=safe-control"
SHOWS = ["python3", "-c", "print('file:', open('/run/secrets/raftsafe/db').read())"]


def documents() -> list[Document]:
    """What `safe install` prints."""
    storage = ["--ephemeral"] if CLASS is None else ["--storage-class", CLASS, "--storage-size", SIZE]
    images = ["--image", NODE, "--control-image", CONTROL, "--sidecar-image", SIDECAR]
    command = [sys.executable, "-m", "statefulset.cli", "install", *images, *storage]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.safe_load_all(done.stdout))


def uids(driver: Driver) -> frozenset[str]:
    return frozenset(each["metadata"]["uid"] for each in driver.pods().values())


def delete(driver: Driver, *names: str, grace: int | None = None) -> None:
    """Delete pods at once, and wait until others with their names are ready."""
    pods = driver.pods()
    gone = frozenset(pods[name]["metadata"]["uid"] for name in names)
    for name in names:
        driver.api.delete(f"{PODS}/{name}", grace)
    driver.wait_ready(len(pods), gone)


def rotates(driver: Driver, value: str) -> None:
    """A new value is acknowledged and is in the workload's file."""
    driver.put("db", value)
    driver.arrives(driver.app_pod("web"), "db", value)


def test_install_from_nothing(driver: Driver) -> None:
    for document in documents():
        driver.make(document)
    driver.wait_ready(3)
    control = f"/apis/apps/v1/namespaces/{STORE}/deployments/safe-control"
    driver.until(
        "safe-control is ready",
        lambda: ((driver.api.get(control) or {}).get("status") or {}).get("readyReplicas") == 2,
    )
    driver.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": APP}})
    for name in ("admin", "web", "batch"):
        driver.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": APP}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "raftsafe-operator"}
    who = [{"kind": "ServiceAccount", "name": "admin", "namespace": APP}]
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": APP}}
    driver.make({**binding, "roleRef": role, "subjects": who})


def test_put(driver: Driver) -> None:
    driver.put("db", "first")
    found = json.loads(driver.safe("get", f"{APP}/db", "--json"))
    assert found["version"] == 1


def test_an_injected_deployment_sees_its_file(driver: Driver) -> None:
    driver.make(workload("Deployment", "web", WAITS))
    driver.arrives(driver.app_pod("web"), "db", "first")


def test_an_injected_job_sees_its_file_before_it_runs_and_ends(driver: Driver) -> None:
    driver.make(job := workload("Job", "batch", SHOWS))
    driver.until("the Job is complete", lambda: ((driver.find(job) or {}).get("status") or {}).get("succeeded") == 1)
    (pod,) = driver.api.items(f"/api/v1/namespaces/{APP}/pods", labelSelector="app=batch")
    log = driver.api.text(f"/api/v1/namespaces/{APP}/pods/{pod['metadata']['name']}/log", container="app")
    assert "file: first" in log


def test_a_rotation_arrives(driver: Driver) -> None:
    rotates(driver, "second")
    driver.safe("rollout", "status", f"{APP}/db", "--wait", "--timeout", "120")


def test_a_wrong_annotation_denies_the_pod_and_is_named(driver: Driver) -> None:
    pod = workload("Deployment", "web", WAITS, **{"raftsafe.io/mode": "sometimes"})["spec"]["template"]
    pod["metadata"]["name"] = "denied"
    with pytest.raises(ApiException) as refusal:
        driver.core.create_namespaced_pod(APP, pod)
    assert "raftsafe.io/mode" in str(refusal.value.body)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("grace", [None, 0], ids=["told", "forced"])
def test_each_node_is_deleted(driver: Driver, number: int, grace: int | None) -> None:
    name = f"safe-{number}"
    before = driver.pods()[name]["metadata"]["uid"]
    driver.api.delete(f"{PODS}/{name}", grace)
    rotates(driver, f"without {name}, {grace}")  # the others carry on, whether it is back or not
    driver.wait_ready(3, frozenset({before}))
    rotates(driver, f"with {name} back, {grace}")


@volumes
def test_all_nodes_are_deleted_at_once(driver: Driver) -> None:
    rotates(driver, "before all were gone")
    delete(driver, *driver.pods(), grace=0)
    found = json.loads(driver.safe("get", f"{APP}/db", "--json", "--timeout", "120"))
    assert found["version"] > 1
    driver.arrives(driver.app_pod("web"), "db", "before all were gone")
    rotates(driver, "after all came back")


@volumes
@pytest.mark.skipif(VOLUMES < 4, reason="RAFTSAFE_VOLUMES is below 4: no spare volume for a claim that is made anew")
def test_a_deleted_claim_heals(driver: Driver) -> None:
    claim = f"/api/v1/namespaces/{STORE}/persistentvolumeclaims/data-safe-1"
    old = (driver.api.get(claim) or {})["metadata"]["uid"]
    driver.api.delete(claim)  # it goes with the pod that uses it
    delete(driver, "safe-1")
    found = driver.until("another claim", lambda: driver.api.get(claim))
    assert found["metadata"]["uid"] != old
    rotates(driver, "with a new disk")


@pytest.mark.skipif(
    CLASS is not None and VOLUMES < 6, reason="RAFTSAFE_VOLUMES is below 6: no volumes for two more nodes"
)
def test_scale_to_five_and_back(driver: Driver) -> None:
    for count in (5, 3):
        driver.api.patch(SET, {"spec": {"replicas": count}})
        driver.wait_ready(count)
        driver.until(f"the store counts {count} nodes", lambda count=count: members(driver) == count)
        rotates(driver, f"with {count} nodes")


def members(driver: Driver) -> int:
    """Those that a node which has a quorum counts."""
    nodes = json.loads(driver.safe("status", "--json", "--timeout", "60"))["nodes"]
    assert nodes, "nobody answered"
    sizes = {len(each["voters"]) for each in nodes if each["quorum"]}
    return sizes.pop() if len(sizes) == 1 else 0


def test_a_rolling_restart(driver: Driver) -> None:
    old = uids(driver)
    driver.api.patch(SET, {"spec": {"template": {"metadata": {"annotations": {"raftsafe.io/e2e": "again"}}}}})
    turn = 0
    while uids(driver) & old:
        turn += 1
        rotates(driver, f"while it rolls, {turn}")
    driver.wait_ready(3, old)
    rotates(driver, "after the roll")


@pytest.mark.parametrize("how", [["--force"], ["--sequence", "serial", "--percentage", "100"]])
def test_chaos_passes_and_leaves_nothing(driver: Driver, how: list[str]) -> None:
    """As the user of the kubeconfig; the run's own namespace is gone when it ends."""
    command = ["chaos", "pods", "--namespace", STORE, "--duration", "150s", "--interval", "30s", "--yes", "--json"]
    report = json.loads(driver.safe(*command, *how))
    said(f"{report['kills']} pods deleted, worst lag {report['lag_worst_s']} s, again: {report['again']}")
    assert report["ok"] and report["violations"] == 0
    own = driver.api.items("/api/v1/namespaces", labelSelector="raftsafe.io/chaos")
    assert [each["metadata"]["name"] for each in own] == []


def test_nodes_that_cannot_reach_the_api_server_go_on(driver: Driver) -> None:
    """From outside the API server cannot be stopped. What can be done: the nodes' policy loses its rule for it. Whether
    the network plugin enforces policies is tried and said; the rotation must arrive either way. It is put through the
    socket in the pod, where nobody's token has to be reviewed."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{STORE}/networkpolicies/safe-node"
    policy = driver.api.get(path)
    assert policy is not None
    egress = policy["spec"]["egress"]
    closed = [rule for rule in egress if not {443, 6443} & {port.get("port") for port in rule.get("ports", ())}]
    assert len(closed) == len(egress) - 1
    before = driver.file(web := driver.app_pod("web"), "db")
    try:
        driver.api.patch(path, {"spec": {"egress": closed}})
        code = "import os, socket; socket.create_connection((os.environ['KUBERNETES_SERVICE_HOST'], 443), 3); print('open')"
        reached = driver.execute(STORE, "safe-0", "node", "python3", "-c", code)
        said("the network plugin does not enforce policies" if "open" in reached else "the API server is out of reach")
        grant = ["put", f"{APP}/db", "--for", f"{APP}/*", "--generate", "value=[a-z]{20}"]
        told = driver.execute(STORE, "safe-0", "node", "safe", *grant)
        driver.until("the generated value arrives", lambda: driver.file(web, "db") not in ("", before))
    finally:
        driver.api.patch(path, {"spec": {"egress": egress}})
    assert "Traceback" not in told


def test_the_life_of_a_safesecret(driver: Driver) -> None:
    def sealed(value: str) -> Document:
        text = driver.safe("seal", f"{APP}/sealed", "--for", f"{APP}/web", stdin=value.encode())
        return dict(yaml.safe_load(text))

    def ready(resource: Document | None) -> bool:
        conditions = ((resource or {}).get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    web = driver.app_pod("web")
    resource = driver.make(sealed("from git"))
    driver.until("the SafeSecret is ready", lambda: ready(driver.find(resource)))
    driver.arrives(web, "sealed", "from git")
    path = f"{folder(resource)}/sealed"
    driver.api.patch(path, {"spec": sealed("from git again")["spec"]})
    driver.arrives(web, "sealed", "from git again")
    driver.safe("put", f"{APP}/sealed", "--for", f"{APP}/web", "--timeout", "120", stdin=b"by hand")
    driver.arrives(web, "sealed", "by hand")
    driver.api.patch(path, {"metadata": {"annotations": {"e2e": "look"}}})
    driver.arrives(web, "sealed", "from git again")  # drift is repaired
    driver.remove(resource)
    driver.until("the SafeSecret is gone", lambda: driver.find(resource) is None)
    driver.arrives(web, "sealed", "")


def test_uninstall_leaves_nothing(driver: Driver) -> None:
    """In the order of the README, with a SafeSecret and an injected pod that are there until the end."""
    resource = driver.make(yaml.safe_load(driver.safe("seal", f"{APP}/last", "--for", f"{APP}/web", stdin=b"last")))
    driver.arrives(driver.app_pod("web"), "last", "last")
    driver.remove(resource)
    driver.until("the SafeSecret is gone", lambda: driver.find(resource) is None)
    installed = documents()
    for document in reversed(installed):
        driver.remove(document)
    driver.until("nothing of the installation is left", lambda: left(driver, installed) == [])
    bundles = list(driver.api.items("/api/v1/configmaps", labelSelector=BUNDLES))
    assert [each["metadata"]["namespace"] for each in bundles] == [APP]
    for each in bundles:
        driver.api.delete(f"/api/v1/namespaces/{APP}/configmaps/{each['metadata']['name']}")
    assert list(driver.api.items("/api/v1/configmaps", labelSelector=BUNDLES)) == []
    driver.api.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{APP}")
    driver.api.delete(f"/api/v1/namespaces/{APP}")
    driver.until("the workloads are gone", lambda: driver.api.get(f"/api/v1/namespaces/{APP}") is None)


def left(driver: Driver, installed: list[Document]) -> list[Any]:
    """What we made, and what carries our label and belongs to no namespace."""
    out = [f"{each['kind']} {each['metadata']['name']}" for each in installed if driver.find(each) is not None]
    for kind in ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "MutatingWebhookConfiguration"):
        group, plural = PATHS[kind]
        found = driver.api.items(f"/{group}/{plural}", labelSelector=LABELS.partition(",")[0])
        out += [f"{kind} {each['metadata']['name']}" for each in found]
    return out
