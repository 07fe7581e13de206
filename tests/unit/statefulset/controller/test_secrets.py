"""What becomes of a SafeSecret whose deletion the store refuses, and of the grants of one that names none: the real client
and a real store's admin API, with the rights that the manifests give. (The whole life of one: test_run.py.)"""

from __future__ import annotations

from typing import Any

import pytest

from statefulset.cli.seal import manifest
from statefulset.cli.sealing import seal
from statefulset.controller.secrets import SecretsDuty
from statefulset.controller.store import Store
from statefulset.kube.api import Api
from statefulset.kube.objects import in_cluster

from ..farside.cluster import Refusal

KEY = ("raftsafe.io", "safesecrets", "shop", "db")


@pytest.fixture
def duty(api: Any, store: Store) -> SecretsDuty:
    return SecretsDuty(Api(in_cluster(*api.found)), store)


@pytest.fixture
def stuck(api: Any, server: Any, duty: SecretsDuty) -> Any:
    """In the store, deleted in the cluster, and the store lets the controller do nothing any more."""
    sealed = seal(server.node.sealing.public, "shop/db", {"pw": b"canary-value"})
    api.cluster.put(*KEY[:2], manifest("shop/db", sealed, (), {}, "Delete"))
    duty.reconcile("shop/db")
    api.cluster.delete(KEY)
    server.node.gate.rights.clear()
    return api.cluster.read(*KEY)


def test_a_deletion_that_is_refused_is_an_event_at_the_resource(api: Any, duty: SecretsDuty, stuck: Any) -> None:
    assert duty.reconcile("shop/db") == duty.reconcile("shop/db"), "it is looked at again"
    (event,) = api.cluster.list("", "events", "")
    about = {"apiVersion": "raftsafe.io/v1alpha1", "kind": "SafeSecret", "namespace": "shop", "name": "db"}
    assert event["involvedObject"] == {**about, "uid": stuck["metadata"]["uid"]}
    assert (event["reason"], event["type"], event["metadata"]["namespace"]) == ("DeletionRefused", "Warning", "shop")
    assert "may not" in event["message"] and "kubectl patch safesecret -n shop db" in event["message"]
    (condition,) = api.cluster.read(*KEY)["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "Forbidden")
    assert "canary" not in str(event) and api.cluster.denied == []


def test_a_namespace_that_takes_no_events_still_has_the_condition(
    api: Any, duty: SecretsDuty, stuck: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = api.cluster.create

    def ending(group: str, plural: str, namespace: str, document: Any) -> Any:
        if plural == "events":
            raise Refusal(403, "the namespace is being terminated")
        return create(group, plural, namespace, document)

    monkeypatch.setattr(api.cluster, "create", ending)
    assert duty.reconcile("shop/db")
    assert api.cluster.read(*KEY)["status"]["conditions"][0]["reason"] == "Forbidden"


def test_the_remedy_lets_it_go_though_the_store_still_refuses(
    api: Any, server: Any, duty: SecretsDuty, stuck: Any
) -> None:
    duty.reconcile("shop/db")
    found = api.cluster.read(*KEY)
    api.cluster.put(*KEY[:2], {**found, "spec": {**found["spec"], "deletionPolicy": "Retain"}})
    assert duty.reconcile("shop/db") is None
    assert api.cluster.read(*KEY) is None
    assert not server.node.store.get("shop/db").deleted


def test_one_that_names_no_grants_leaves_those_of_the_store(
    api: Any, server: Any, store: Store, duty: SecretsDuty
) -> None:
    """A secret of `safe put`, its SafeSecret without the field, `safe grant` beside it, and then an empty list."""

    def grants() -> set[str]:
        return set(server.node.store.get("shop/db").grants)

    body = {"name": "shop/db", "fields": {"pw": "b25l"}, "grants": ["shop/web"]}
    store.change("POST", "/v1/apply", {"secrets": [body]})
    sealed = seal(server.node.sealing.public, "shop/db", {"pw": b"two"})
    api.cluster.put(*KEY[:2], manifest("shop/db", sealed, (), {}, "Delete"))
    duty.reconcile("shop/db")
    assert server.node.value("shop/db") == {"pw": b"two"} and grants() == {"shop/web"}
    store.change("POST", "/v1/secrets/shop/db/grants", {"add": ["shop/job"]})
    duty.reconcile("shop/db")
    assert grants() == {"shop/web", "shop/job"}
    found = api.cluster.read(*KEY)
    api.cluster.put(*KEY[:2], {**found, "spec": {**found["spec"], "grants": []}})
    duty.reconcile("shop/db")
    assert grants() == set() and api.cluster.read(*KEY)["status"]["conditions"][0]["status"] == "True"
