"""Each check of `safe doctor` over facts: well, ill, not to be seen; never well when it was not looked at."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from statefulset.cli.doctor.facts import Facts, Installed, Node, Unknown
from statefulset.cli.doctor.findings import CHECKS, DAY, HOUR, examine, summary

NOW = 1_800_000_000_000


def status(name: str = "safe-0", **more: Any) -> dict[str, Any]:
    return {
        "node": name,
        "version": "0.1.0",
        "leader": "safe-0",
        "term": 3,
        "voters": ["safe-0", "safe-1", "safe-2"],
        "learners": [],
        "size": 3,
        "quorum": True,
        "ready": True,
        "disk_ok": True,
        **more,
    }


def node(name: str = "safe-0", skew: float | None = 5.0, left: int = 20 * HOUR, **more: Any) -> Node:
    return Node(name, status(name, **more), "", skew, 10.0, NOW + left)


def pod(name: str, image: str = "node:1", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"image": image}]}, **more}


def installed(**more: Any) -> Installed:
    documents = {
        "StatefulSet safe": {"spec": {"replicas": 3, "template": pod("template")}},
        "Deployment safe-control": {"spec": {"replicas": 2}, "status": {"readyReplicas": 2}},
        "MutatingWebhookConfiguration raftsafe": {"webhooks": [{"clientConfig": {"caBundle": "eA=="}}]},
    }
    given: dict[str, Any] = {
        "documents": documents,
        "pods": [pod(f"safe-{i}") for i in range(3)],
        "claims": [{"metadata": {"name": f"data-safe-{i}"}, "status": {"phase": "Bound"}} for i in range(3)],
        "handshakes": {"safe-control-a": "", "safe-control-b": ""},
        "may": {"see the store": True, "put": True, "reveal": False},
        "declared": [declared("True")],
        **more,
    }
    return Installed(**given)


def declared(ready: str, reason: str = "Delivered") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": reason}]
    return {"metadata": {"namespace": "shop", "name": "db"}, "status": {"conditions": conditions}}


def going(minutes: int) -> dict[str, Any]:
    """A SafeSecret that was deleted so long ago."""
    moment = datetime.datetime.fromtimestamp(NOW / 1000 - 60 * minutes, datetime.UTC)
    found = declared("True")
    found["metadata"]["deletionTimestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def sidecar(**more: Any) -> dict[str, Any]:
    given = {"pod": "web", "namespace": "shop", "placed": {"shop/db": 4}, "error": "", "connected": True}
    return {**given, "stale": False, "staleness_ms": None, "left": False, **more}


def facts(**more: Any) -> Facts:
    given: dict[str, Any] = {
        "where": "here",
        "now_ms": NOW,
        "version": "0.1.0",
        "namespace": "raftsafe",
        "nodes": [node(f"safe-{i}") for i in range(3)],
        "authority": [NOW + 3000 * DAY],
        "sidecars": [sidecar()],
        "versions": {"shop/db": (4, NOW - DAY)},
        "installed": installed(),
        **more,
    }
    return Facts(**given)


def levels(found: Facts, check: str) -> list[str]:
    return [each.level for each in examine(found) if each.check == check]


def said(found: Facts, check: str) -> str:
    return " / ".join(f"{each.what} -> {each.remedy}" for each in examine(found) if each.check == check)


def test_all_is_well() -> None:
    found = examine(facts())
    assert {each.level for each in found} == {"ok"}, found
    assert len({each.check for each in found}) == len(CHECKS) + 1  # rights says two things
    assert summary(found) == f"ok {len(CHECKS) + 1}"


ILL: list[tuple[str, str, dict[str, Any], str]] = [
    ("quorum", "FAIL", {"nodes": [node(quorum=False, ready=False)]}, "1 of 3"),
    ("quorum", "FAIL", {"nodes": [Node("safe-0", failure="connection refused")]}, "connection refused"),
    ("quorum", "FAIL", {"nodes": Unknown("there is no store")}, "there is no store"),
    ("members", "warn", {"nodes": [node(voters=["safe-0", "safe-1"], learners=["safe-2"])]}, "safe-2 still learning"),
    ("members", "warn", {"nodes": [node(), Node("pod safe-1", failure="gone")]}, "pod safe-1 does not answer"),
    ("members", "warn", {"nodes": [node(size=5)]}, "3 replicas"),
    ("members", "warn", {"nodes": [node(), node("safe-1", ready=False)]}, "safe-1 not ready"),
    ("versions", "warn", {"nodes": [node(), node("safe-1", version="0.2.0")]}, "0.2.0"),
    ("versions", "warn", {"version": "0.3.0"}, "this command is 0.3.0"),
    ("certificates", "warn", {"nodes": [node(left=13 * HOUR)]}, "13.0 h left"),
    ("certificates", "FAIL", {"nodes": [node(left=HOUR // 2)]}, "0.5 h left"),
    ("certificates", "warn", {"authority": [NOW + 60 * DAY, NOW + 900 * DAY]}, "60 days"),
    ("certificates", "FAIL", {"authority": [NOW + 3 * DAY]}, "3 days"),
    ("clocks", "warn", {"nodes": [node(skew=0.0), node("safe-1", skew=-3100.0)]}, "3.1 s apart"),
    ("clocks", "FAIL", {"nodes": [node(skew=0.0), node("safe-1", skew=12_000.0)]}, "chrony"),
    ("clocks", "warn", {"nodes": [node(skew=30_000.0), node("safe-1", skew=30_000.0)]}, "this machine's clock"),
    ("rights", "FAIL", {"installed": installed(review=False)}, "raftsafe-review"),
    ("access", "warn", {"installed": installed(may={"see the store": False})}, "raftsafe-viewer"),
    ("install", "FAIL", {"installed": installed(absent=["Service safe-peers"])}, "safe install"),
    ("install", "FAIL", {"installed": installed(absent=["ClusterRole raftsafe-review"])}, "raftsafe-review"),
    ("install", "warn", {"installed": installed(absent=["PodDisruptionBudget safe"])}, "PodDisruptionBudget"),
    ("images", "warn", {"installed": installed(pods=[pod("safe-0"), pod("safe-1", "node:2")])}, "safe-1"),
    ("webhook", "FAIL", {"installed": installed(handshakes={"a": "self-signed"})}, "self-signed"),
    ("storage", "FAIL", {"nodes": [node(disk_ok=False), node("safe-1", disk_ok=False)]}, "safe-0, safe-1"),
    ("storage", "warn", {"nodes": [node(disk_ok=False), node("safe-1"), node("safe-2")]}, "safe-0"),
    (
        "storage",
        "FAIL",
        {"installed": installed(claims=[{"metadata": {"name": "data-safe-1"}, "status": {"phase": "Pending"}}])},
        "data-safe-1",
    ),
    ("sidecars", "FAIL", {"versions": {"shop/db": (5, NOW - DAY)}}, "shop/web (shop/db)"),
    ("sidecars", "FAIL", {"sidecars": [sidecar(error="no_space")]}, "no_space"),
    ("sidecars", "FAIL", {"sidecars": [sidecar(error="behind", connected=False)]}, "refused, they have seen more"),
    ("sidecars", "warn", {"sidecars": [sidecar(stale=True)]}, "stale"),
    ("sidecars", "warn", {"sidecars": [sidecar(connected=False)]}, "not connected"),
    ("safesecrets", "FAIL", {"installed": installed(declared=[declared("False", "BadSeal")])}, "shop/db (BadSeal)"),
    (
        "safesecrets",
        "warn",
        {"installed": installed(declared=[{"metadata": {"namespace": "shop", "name": "db"}}])},
        "not looked at",
    ),
    ("safesecrets", "FAIL", {"installed": installed(declared=[going(6)])}, "should be gone for more than 5 minutes"),
]


def test_a_safesecret_has_time_to_go() -> None:
    assert levels(facts(installed=installed(declared=[going(4)])), "safesecrets") == ["ok"]


@pytest.mark.parametrize(("check", "level", "change", "word"), ILL)
def test_what_is_ill_is_said(check: str, level: str, change: dict[str, Any], word: str) -> None:
    found = facts(**change)
    assert levels(found, check)[0] == level, said(found, check)
    assert "ok" not in levels(found, check)
    assert word in said(found, check)
    assert all(each.remedy for each in examine(found) if each.level in ("FAIL", "warn")), "always what to do"


def changed(name: str, **more: Any) -> Facts:
    there = installed()
    documents = {**there.documents, name: {**there.documents[name], **more}}
    return facts(installed=dataclasses.replace(there, documents=documents))


def test_the_webhook() -> None:
    assert levels(changed("MutatingWebhookConfiguration raftsafe", webhooks=[{"clientConfig": {}}]), "webhook") == [
        "FAIL"
    ]
    assert levels(changed("Deployment safe-control", status={"readyReplicas": 1}), "webhook") == ["warn"]
    assert levels(changed("Deployment safe-control", status={}), "webhook") == ["FAIL"]


def test_an_image_that_is_not_there() -> None:
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImageNeverPull"}}}]}
    found = facts(installed=installed(pods=[pod("safe-0", status=waiting)]))
    assert levels(found, "images") == ["FAIL"] and "ErrImageNeverPull" in said(found, "images")


def test_a_version_on_its_way_is_no_failure_and_a_pod_that_left_is_none() -> None:
    assert levels(facts(versions={"shop/db": (5, NOW - 1000)}), "sidecars") == ["ok"]
    assert levels(facts(sidecars=[sidecar(left=True, connected=False, error="x")]), "sidecars") == ["ok"]


def test_a_slow_line_is_no_skew() -> None:
    slow = dataclasses.replace(node(), skew_ms=3000.0, unsure_ms=2500.0)
    assert levels(facts(nodes=[slow, node("safe-1")]), "clocks") == ["ok"]


def test_what_cannot_be_seen_is_not_called_well() -> None:
    why = Unknown("only with a kubeconfig")
    found = examine(facts(installed=why, sidecars=why, versions=why))
    skipped = {each.check for each in found if each.level == "skipped"}
    assert skipped == {"install", "images", "rights", "webhook", "sidecars", "safesecrets"}
    assert all("kubeconfig" in each.what for each in found if each.level == "skipped")
    hidden = installed(pods=why, claims=why, handshakes=why, review=why, may=why, declared=why)
    found = examine(facts(installed=hidden, nodes=Unknown("no token", refused=True)))
    assert not [each for each in found if each.level == "FAIL"]
    assert {each.check for each in found if each.level == "ok"} == {"install", "certificates", "sidecars"} - {
        "certificates"
    }


def test_the_worst_comes_first() -> None:
    found = examine(facts(nodes=[node(quorum=False, ready=False, version="0.2.0")], installed=Unknown("x")))
    assert [each.level for each in found] == sorted(
        (each.level for each in found), key=("FAIL", "warn", "skipped", "ok").index
    )
    assert summary(found).startswith("FAIL quorum; warn members, versions; skipped 5; ok ")
