"""The whole control process: what it makes of a cluster, with the rights that the manifests give it and no others."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import urllib.request
from typing import Any

import pytest

from statefulset.cli.seal import manifest
from statefulset.cli.sealing import seal

from .conftest import wait

GROUP = "raftsafe.io"


def sealed(
    server: Any, name: str, fields: dict[str, bytes], grants: tuple[str, ...] = (), policy: str = "Delete"
) -> dict:
    return manifest(name, seal(server.node.sealing.public, name, fields), grants, {}, policy)


def read(api: Any, name: str) -> dict | None:
    namespace, _, own = name.partition("/")
    return api.cluster.read(GROUP, "safesecrets", namespace, own)


def condition(api: Any, name: str) -> dict:
    found = read(api, name) or {}
    return next(iter(found.get("status", {}).get("conditions", [])), {})


def trusted(api: Any) -> str:
    """The certificate that the API server trusts for the webhook, empty if it has none yet."""
    found = api.cluster.read("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "raftsafe")
    return base64.b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


def ready(api: Any, name: str, version: int) -> None:
    wait(
        lambda: condition(api, name).get("status") == "True" and read(api, name)["status"]["version"] == version,
        f"{name} ready at version {version}: {read(api, name)}",
    )


def test_a_safesecret_from_its_birth_to_its_end(working):
    api, server = working.api, working.server
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/db", {"pw": b"one"}, ("shop/web",)))
    ready(api, "shop/db", 1)
    assert server.node.value("shop/db") == {"pw": b"one"}
    assert server.node.store.get("shop/db").grants == ("shop/web",)
    wait(lambda: read(api, "shop/db")["status"].get("delivered") == "0/0", "delivered is said")

    changed = read(api, "shop/db")
    changed["spec"] = sealed(server, "shop/db", {"pw": b"two"}, ("shop/web", "shop/job"))["spec"]
    api.cluster.put(GROUP, "safesecrets", changed)
    ready(api, "shop/db", 2)
    assert server.node.value("shop/db") == {"pw": b"two"}
    assert read(api, "shop/db")["status"]["observedGeneration"] == 2

    api.cluster.delete((GROUP, "safesecrets", "shop", "db"))
    wait(lambda: read(api, "shop/db") is None, "the resource is gone")
    assert server.node.store.get("shop/db").deleted
    assert api.cluster.denied == []


def test_a_retained_one_stays_in_the_store(working):
    api, server = working.api, working.server
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/keep", {"v": b"1"}, policy="Retain"))
    ready(api, "shop/keep", 1)
    api.cluster.delete((GROUP, "safesecrets", "shop", "keep"))
    wait(lambda: read(api, "shop/keep") is None, "the resource is gone")
    assert not server.node.store.get("shop/keep").deleted


def test_what_the_store_refuses_is_said_and_nothing_of_the_value(working):
    api, server, replica = working.api, working.server, working.replica
    moved = sealed(server, "shop/one", {"pw": b"canary-value"})
    moved["metadata"]["name"] = "two"
    api.cluster.put(GROUP, "safesecrets", moved)
    wait(lambda: condition(api, "shop/two").get("status") == "False", "the refusal is said")
    told = condition(api, "shop/two")
    assert (
        told["reason"] == "Invalid" and "another secret or field" in told["message"] and "safe seal" in told["message"]
    )
    assert server.node.store.get("shop/two") is None
    assert "canary" not in replica.said and "safe1." not in replica.said


def test_the_store_away_changes_nothing_and_it_goes_on_by_itself(working):
    api, server = working.api, working.server
    server.node.raft.quorum = False
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/late", {"v": b"1"}))
    wait(
        lambda: (read(api, "shop/late")["metadata"].get("finalizers")) or server.node.raft.index >= 0, "it is looked at"
    )
    assert "status" not in read(api, "shop/late")
    server.node.raft.quorum = True
    ready(api, "shop/late", 1)


def test_namespaces_with_injected_pods_get_the_bundle_and_it_is_kept(working):
    api = working.api
    labels = {"raftsafe.io/injected": "true"}
    api.cluster.put("", "pods", {"metadata": {"name": "web", "namespace": "shop", "labels": labels}})
    found = wait(lambda: api.cluster.read("", "configmaps", "shop", "raftsafe-ca"), "the bundle is there")
    assert found["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    api.cluster.put("", "configmaps", {**found, "data": {"ca.crt": "old"}})
    api.cluster.put("", "pods", {"metadata": {"name": "other", "namespace": "shop", "labels": labels}})
    wait(lambda: api.cluster.read("", "configmaps", "shop", "raftsafe-ca")["data"] == found["data"], "it is renewed")
    assert api.cluster.read("", "configmaps", "elsewhere", "raftsafe-ca") is None


def test_pods_that_missed_injection_are_told(api, control):
    asks = {"raftsafe.io/inject": "true"}
    api.cluster.put("", "pods", {"metadata": {"name": "early", "namespace": "shop", "annotations": asks}})
    api.cluster.put("", "pods", {"metadata": {"name": "plain", "namespace": "shop"}})
    control()
    (event,) = wait(lambda: api.cluster.list("", "events", ""), "an event")
    assert (
        event["involvedObject"]["name"] == "early" and event["reason"] == "NotInjected" and event["type"] == "Warning"
    )


def test_nodes_are_asked_how_sidecars_fare_with_the_rights_there_are(working):
    """What is said at pods, and when: test_events.py."""
    asked = working.server.node.gate.asked
    wait(lambda: any(right.what == "safeclusters/sidecars" for right in asked), "a node is asked")
    assert working.api.cluster.denied == [] and "Traceback" not in working.replica.said


def test_the_api_server_can_call_the_webhook(working):
    api, replica = working.api, working.replica

    context = ssl.create_default_context(cadata=wait(lambda: trusted(api), "the CA bundle"))
    pod = {"metadata": {"annotations": {"raftsafe.io/inject": "true"}}, "spec": {"containers": [{"name": "web"}]}}
    request = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": pod}
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"https://localhost:{replica.port}/mutate", body, headers)
    with urllib.request.urlopen(asked, context=context, timeout=30) as answer:
        response = json.load(answer)["response"]
    assert response["allowed"] and response["uid"] == "u"
    assert "localhost/raftsafe/sidecar:0.1.0" in base64.b64decode(response["patch"]).decode()


def test_without_its_secret_both_replicas_come_to_serve_under_one_new_authority(api, control):
    """Whoever deletes it, to have a new authority or by mistake: the API server calls either replica."""

    def answered(replica: Any) -> bool:
        try:
            context = ssl.create_default_context(cadata=trusted(api))
            with urllib.request.urlopen(f"https://localhost:{replica.port}/readyz", context=context, timeout=30):
                return True
        except OSError:
            return False

    replicas = [control("safe-control-a"), control("safe-control-b")]
    old = wait(lambda: trusted(api), "the CA bundle")
    wait(lambda: all(map(answered, replicas)), "both are trusted")
    api.cluster.delete(("", "secrets", "raftsafe", "raftsafe-webhook"))
    wait(lambda: trusted(api) != old and all(map(answered, replicas)), "both are trusted under the new authority")
    assert api.cluster.denied == []


def test_members_follow_the_statefulset(working):
    api, server = working.api, working.server
    assert server.node.raft.size == 3
    nodes = api.cluster.read("apps", "statefulsets", "raftsafe", "safe")
    nodes["spec"]["replicas"] = 5
    api.cluster.put("apps", "statefulsets", nodes)
    wait(lambda: server.node.raft.size == 5, "the store's size is decided")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_one_works_and_the_other_takes_over(api, control, server, how):
    first = control("safe-control-a")

    def holder() -> str:
        lease = api.cluster.read("coordination.k8s.io", "leases", "raftsafe", "safe-control")
        return (lease or {}).get("spec", {}).get("holderIdentity", "")

    wait(lambda: holder() == "safe-control-a", "the first works")
    second = control("safe-control-b")
    wait(lambda: "webhook on port" in second.said, "the second is up")
    assert first.stop(how) == (0 if how == signal.SIGTERM else -signal.SIGKILL), first.said
    if how == signal.SIGKILL:
        # As a holder with a shorter lease had left it. That the whole of a lease is waited for is in test_lease.py.
        lease = api.cluster.read("coordination.k8s.io", "leases", "raftsafe", "safe-control")
        assert lease["spec"]["holderIdentity"] == "safe-control-a", "it gave nothing up"
        lease["spec"]["leaseDurationSeconds"] = 1
        api.cluster.put("coordination.k8s.io", "leases", lease)
    wait(lambda: holder() == "safe-control-b", "the second takes over")
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/db", {"pw": b"one"}))
    ready(api, "shop/db", 1)


def test_the_api_server_away_is_survived(working):
    api, server, replica = working.api, working.server, working.replica
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/a", {"v": b"1"}))
    ready(api, "shop/a", 1)
    api.away = True
    wait(lambda: "status 503" in replica.said, "it is noticed")
    api.away = False
    api.cluster.put(GROUP, "safesecrets", sealed(server, "shop/b", {"v": b"1"}))
    ready(api, "shop/b", 1)
    assert "Traceback" not in replica.said


def test_a_missing_setting_is_one_line(control, api, server):
    from statefulset.controller.settings import SettingsError, load

    with pytest.raises(SettingsError, match="SAFE_SIDECAR_IMAGE"):
        load({"SAFE_NAME": "a", "SAFE_NAMESPACE": "b", "SAFE_CA_FILE": "c", "SAFE_TOKEN_FILE": "d"})
