"""Looks at pods and nodes, and the Events they leave: the real client and a real store's admin API, with the rights that
the manifests give. (The whole process: test_run.py.)"""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.wire.messages import Report
from statefulset.controller import events
from statefulset.controller.events import EventsDuty
from statefulset.controller.notices import REPEAT
from statefulset.controller.store import Store
from statefulset.controller.trouble import LATER, SOON
from statefulset.kube.api import Api
from statefulset.kube.objects import AwayError, in_cluster

from ..farside.cluster import Refusal

LABELS = {"raftsafe.io/injected": "true"}


class Clock:
    """`step`: how far each reading moves it."""

    def __init__(self) -> None:
        self.now, self.step = 1000.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def duty(api: Any, store: Store, clock: Clock) -> EventsDuty:
    return another(api, store, clock)


def another(api: Any, store: Store, clock: Clock) -> EventsDuty:
    """A replica: it remembers nothing of what others have said."""
    return EventsDuty(Api(in_cluster(*api.found)), store, "raftsafe", clock)


def make_pod(api: Any, name: str, **more: Any) -> dict[str, Any]:
    document = {"metadata": {"name": name, "namespace": "shop", "labels": LABELS}, "spec": {"nodeName": "machine"}}
    found: dict[str, Any] = api.cluster.put("", "pods", {**document, **more})
    return found


def told(api: Any) -> dict[str, tuple[int, str]]:
    """Reason -> how often, and what."""
    return {each["reason"]: (each["count"], each["message"]) for each in api.cluster.list("", "events", "")}


def look(duty: EventsDuty, clock: Clock, seconds: float = 0.0) -> None:
    clock.now += seconds
    duty.unserved()


def test_a_pod_that_is_not_granted_what_it_asks_for(api, duty, clock, server):
    pod = make_pod(api, "web")
    more = {"namespace": "shop", "serviceaccount": "web"}
    server.node.sidecars.add("web", {}, want=frozenset({"shop/db"}), **more)
    look(duty, clock)
    assert told(api) == {}, "secret and grant may be on their way"
    look(duty, clock, SOON)
    (event,) = api.cluster.list("", "events", "shop")
    assert event["involvedObject"]["uid"] == pod["metadata"]["uid"] and event["type"] == "Warning"
    assert event["reason"] == "SecretNotFound" and "this pod does not get shop/db" in event["message"]
    look(duty, clock, REPEAT - 1)
    assert told(api)["SecretNotFound"][0] == 1
    look(duty, clock, 2.0)
    (event,) = api.cluster.list("", "events", "shop")
    assert event["count"] == 2 and event["firstTimestamp"] <= event["lastTimestamp"]
    server.node.sidecars.all.clear()
    server.node.sidecars.add("web", {"shop/db": 1}, want=frozenset({"shop/db"}), **more)
    look(duty, clock, REPEAT)
    assert told(api)["SecretNotFound"][0] == 2, "it is over"
    assert api.cluster.denied == []


def test_a_replica_that_takes_over_goes_on_counting(api, duty, store, clock, server):
    make_pod(api, "web")
    server.node.sidecars.add("web", {}, namespace="shop", report=Report("app.env: no field `user`", "", 0, 0, 0))
    look(duty, clock)
    look(duty, clock, SOON)
    look(duty, clock, REPEAT)
    assert told(api)["RenderFailed"][0] == 2
    second = another(api, store, clock)
    for seconds in (0.0, SOON, REPEAT):
        look(second, clock, seconds)
    assert told(api)["RenderFailed"] == (3, told(api)["RenderFailed"][1])
    assert "no field `user`" in told(api)["RenderFailed"][1]
    assert len(api.cluster.list("", "events", "")) == 1 and api.cluster.denied == []


def test_an_event_that_ran_out_is_made_anew(api, duty, clock, server):
    make_pod(api, "web")
    server.node.sidecars.add("web", {}, namespace="shop", error="no_space")
    look(duty, clock)
    look(duty, clock, SOON)
    (event,) = api.cluster.list("", "events", "")
    api.cluster.delete(("", "events", "shop", event["metadata"]["name"]))
    look(duty, clock, REPEAT)
    assert told(api)["VolumeFull"][0] == 1


def test_a_pod_without_a_node_and_those_that_need_none(api, duty, clock):
    make_pod(api, "lost")
    make_pod(api, "done", status={"phase": "Succeeded"})
    done = api.cluster.read("", "pods", "shop", "done")
    api.cluster.put("", "pods", {**done, "status": {"phase": "Succeeded"}})
    make_pod(api, "nowhere", spec={})
    look(duty, clock)
    look(duty, clock, LATER - 1)
    assert told(api) == {}
    look(duty, clock, 1.0)
    (event,) = api.cluster.list("", "events", "")
    assert (event["reason"], event["involvedObject"]["name"]) == ("SidecarNotConnected", "lost")


def test_without_a_quorum_what_is_known_is_still_told(api, duty, clock, server):
    make_pod(api, "web")
    server.node.sidecars.add("web", {}, namespace="shop")
    look(duty, clock)
    server.node.raft.quorum = server.node.raft.ready = False
    look(duty, clock)
    look(duty, clock, LATER)
    assert set(told(api)) == {"Stale"} and "no quorum" in told(api)["Stale"][1]


def test_a_store_that_is_away_is_tried_again(api, duty, server):
    server.stop()
    with pytest.raises(AwayError, match="sidecars"):
        duty.unserved()
    server.stop = lambda: None


def test_a_right_that_is_missing_is_said_once_a_look(api, duty, server, caplog):
    """Not again and again in between: each refusal is a line in the audit log of a node."""
    make_pod(api, "web")
    server.node.gate.rights.clear()
    duty.unserved()
    assert [each.message for each in caplog.records if "manifests as new as this image" in each.message]
    assert told(api) == {}


def test_a_store_that_cannot_say_why_leaves_it_for_later(api, duty, clock, server):
    make_pod(api, "web")
    server.node.sidecars.add(
        "web", {}, namespace="shop", want=frozenset({"shop/db"}), report=Report("a: no", "", 0, 0, 0)
    )
    look(duty, clock)
    server.node.services.explainer.one = None  # type: ignore[method-assign]  # breaks the route
    look(duty, clock, SOON)
    assert set(told(api)) == {"RenderFailed"}
    del server.node.services.explainer.one
    look(duty, clock, 60.0)
    assert set(told(api)) == {"RenderFailed", "SecretNotFound"}


def test_a_namespace_that_takes_no_events_keeps_nobody_else_from_his(api, duty, clock, monkeypatch):
    make_pod(api, "early", metadata={"name": "early", "namespace": "ending", "labels": LABELS})
    make_pod(api, "web")
    create = api.cluster.create

    def ending(group: str, plural: str, namespace: str, document: Any) -> Any:
        if (plural, namespace) == ("events", "ending"):
            raise Refusal(403, "the namespace is being terminated")
        return create(group, plural, namespace, document)

    monkeypatch.setattr(api.cluster, "create", ending)
    look(duty, clock)
    look(duty, clock, LATER)
    assert [each["involvedObject"]["name"] for each in api.cluster.list("", "events", "")] == ["web"]


def test_a_look_that_takes_too_long_goes_on_at_the_next(api, duty, clock):
    for number in range(6):
        make_pod(api, f"web-{number}")
    look(duty, clock)
    clock.step = events.BUDGET / 5
    look(duty, clock, LATER)
    first = len(api.cluster.list("", "events", ""))
    assert 0 < first < 6
    clock.step = 0.0
    look(duty, clock, 60.0)
    assert len(api.cluster.list("", "events", "")) == 6


def test_many_pods_of_one_workload_are_one_question(api, duty, clock, server, monkeypatch):
    for number in range(20):
        make_pod(api, f"web-{number}")
        server.node.sidecars.add(f"web-{number}", {}, namespace="shop", want=frozenset({"shop/db"}))
    asked = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda self, path, **query: asked.append(path) or read(self, path, **query))
    look(duty, clock)
    look(duty, clock, SOON)
    assert len(api.cluster.list("", "events", "")) == 20 and asked == ["/v1/explain/shop/api"]
