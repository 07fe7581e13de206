"""The queue against an API server in memory, with the rights that the manifests give and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from statefulset.controller.tasks import BUNDLE, Tasks
from statefulset.kube.api import Api
from statefulset.kube.objects import ForbiddenError, in_cluster

from ..farside.cluster import Refusal

PODS = ("", "pods")
WEB = {"metadata": {"name": "web", "namespace": "leaving", "labels": {"raftsafe.io/injected": "true"}}}


@pytest.fixture
def tasks(api: Any) -> Iterator[Tasks]:
    """Of a controller that has nothing to do but publish bundles; namespace `leaving` takes nothing new."""

    def admission(plural: str, document: dict[str, Any]) -> dict[str, Any]:
        if plural == "configmaps" and document["metadata"]["namespace"] == "leaving":
            raise Refusal(403, "it is being terminated")
        return document

    api.cluster.admission = admission
    unused = cast(Any, None)
    client = Api(in_cluster(*api.found))
    yield Tasks(client, unused, unused, unused, unused, "raftsafe", lambda: "a certificate")


def test_a_namespace_that_goes_with_its_pods_is_let_go(api: Any, tasks: Tasks) -> None:
    """Its pods' last events come when it takes no bundle any more, and when it is gone nothing ever will be."""
    api.cluster.put(*PODS, WEB)
    api.cluster.delete((*PODS, "leaving", "web"))
    tasks.do(f"{BUNDLE}leaving")  # does not raise: done
    api.cluster.put(*PODS, {**WEB, "metadata": {**WEB["metadata"], "deletionTimestamp": "2026-11-24T12:00:00Z"}})
    tasks.do(f"{BUNDLE}leaving")
    assert api.cluster.read("", "configmaps", "leaving", "raftsafe-ca") is None
    assert api.cluster.denied == []


def test_where_a_pod_waits_for_the_bundle_a_refusal_is_not_the_end_of_it(api: Any, tasks: Tasks) -> None:
    api.cluster.put(*PODS, WEB)
    with pytest.raises(ForbiddenError):
        tasks.do(f"{BUNDLE}leaving")
    api.cluster.admission = lambda _, document: document
    tasks.do(f"{BUNDLE}leaving")
    assert api.cluster.read("", "configmaps", "leaving", "raftsafe-ca")["data"]["ca.crt"] == "a certificate"
