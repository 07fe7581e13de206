"""What is wrong with which pod, and what is nobody's business."""

from __future__ import annotations

from typing import Any

import pytest

from statefulset.controller.trouble import LATER, SHOWN, SOON, Trouble, judged, missed, unserved


def pod(name: str = "web", namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", **more}


def receipt(**more: Any) -> dict[str, Any]:
    """A sidecar that has all it asks for."""
    return {
        "pod": "web",
        "namespace": "shop",
        "serviceaccount": "web",
        "node": "safe-0",
        "placed": {"shop/db": 3},
        "want": ["shop/db"],
        "error": "",
        "render": "",
        "notify": "",
        "connected": True,
        "left": False,
        **more,
    }


def reasons(*receipts: dict[str, Any], stale: tuple[str, ...] = (), whole: bool = True, **more: Any) -> list[str]:
    return [each.reason for each in unserved([pod(**more)], receipts, stale, whole)]


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"annotations": {"raftsafe.io/inject": "true"}}, True),
        ({"labels": {"raftsafe.io/inject": "true"}}, True),
        ({"labels": {"raftsafe.io/inject": "yes"}}, True),
        ({}, False),
        ({"labels": {"raftsafe.io/inject": "true"}, "annotations": {"raftsafe.io/inject": "false"}}, False),
        ({"labels": {"raftsafe.io/inject": "true", "raftsafe.io/injected": "true"}}, False),
        ({"labels": {"raftsafe.io/inject": "true"}, "deletionTimestamp": "2026-11-24T12:00:00Z"}, False),
        ({"labels": {"raftsafe.io/inject": "true"}, "namespace": "kube-system"}, False),
        ({"labels": {"raftsafe.io/inject": "true"}, "namespace": "raftsafe"}, False),
    ],
)
def test_pods_that_missed_injection(metadata, told):
    found = list(missed([{**pod(), **metadata}], "raftsafe"))
    assert [each.reason for each in found] == ["NotInjected"] * told
    assert all("delete it" in each.message for each in found)


def test_a_pod_that_has_all_it_asks_for_is_well():
    assert reasons(receipt()) == []
    assert reasons(receipt(want=[], placed={})) == [], "it asked for whatever it is granted"
    assert reasons(receipt(render=None, notify=None)) == [], "a sidecar too old to say"


@pytest.mark.parametrize(
    ("said", "reason", "word"),
    [
        ({"error": "no_space"}, "VolumeFull", "raftsafe.io/size"),
        ({"error": "write_failed"}, "VolumeNotWritable", "log"),
        ({"render": "app.env: no field `user`"}, "RenderFailed", "app.env: no field `user`"),
        ({"notify": "HUP to nginx: no such process"}, "NotifyFailed", "no such process"),
    ],
)
def test_what_a_sidecar_says_is_said_at_its_pod(said, reason, word):
    (found,) = unserved([pod()], [receipt(**said)], (), True)
    assert (found.reason, found.patience, found.uid) == (reason, SOON, "uid-of-web") and word in found.message


def test_secrets_it_waits_for_are_asked_about():
    (found,) = unserved([pod()], [receipt(want=["shop/db", "shop/b", "shop/a"])], (), True)
    assert (found.account, found.lacks, found.patience) == ("shop/web", ("shop/a", "shop/b"), SOON)


def test_a_node_too_old_to_say_what_is_asked_for_says_nothing():
    old = receipt(placed={})
    del old["want"]
    assert reasons(old) == []


def test_a_node_without_a_quorum_may_not_have_the_newest():
    assert reasons(receipt(), stale=("safe-0",)) == ["Stale"]
    assert reasons(receipt(), stale=("safe-1",)) == []


def test_a_pod_that_no_node_has():
    (found,) = unserved([pod()], [], (), True)
    assert (found.reason, found.patience) == ("SidecarNotConnected", LATER)
    assert "kubectl logs -n shop web -c raftsafe-sidecar" in found.message
    assert reasons(receipt(connected=False)) == ["SidecarNotConnected"]
    assert reasons(receipt(connected=False), receipt(node="safe-1")) == [], "it moved to another node"
    assert reasons(receipt(node="safe-1"), receipt(connected=False)) == []
    assert reasons(whole=False) == [], "a node that did not answer may have it"
    assert reasons(deletionTimestamp="2026-11-24T12:00:00Z") == []
    assert reasons(receipt(namespace="other"), receipt(pod="web-2")) == ["SidecarNotConnected"]


def test_a_pod_that_fetched_its_files_and_was_done():
    ours = {"raftsafe.io/mode": "init"}
    theirs = {"vault.hashicorp.com/agent-inject": "true", "vault.hashicorp.com/agent-pre-populate-only": "true"}
    for given in (ours, theirs):
        assert reasons(annotations=given) == []
        assert reasons(receipt(placed={}), annotations=given) == ["SecretMissing"], "while it waits it is told"
    assert reasons(annotations={"raftsafe.io/mode": "unreadable"}) == ["SidecarNotConnected"]


def verdict(secret: str, code: str, detail: str = "granted by */*, but ...", hint: str = "do this") -> dict[str, Any]:
    return {"secret": secret, "allowed": not code, "code": code, "detail": detail, "hint": hint}


LACKING = Trouble("shop", "web", "u", "SecretMissing", "", SOON, "shop/web", ("shop/a", "shop/b", "x/c", "x/d"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("not_found", "SecretNotFound"),
        ("not_granted", "SecretNotGranted"),
        ("not_yet_valid", "SecretNotYetValid"),
        ("expired", "SecretExpired"),
        ("deleted", "SecretDeleted"),
    ],
)
def test_the_store_says_why(code, reason):
    found = judged(LACKING, [verdict("shop/a", code)])
    assert found is not None and found.reason == reason
    assert found.message.startswith("this pod does not get shop/a: ") and "(do this)" in found.message
    assert found.message.endswith("; 3 more")


def test_who_else_has_a_secret_is_not_told():
    found = judged(LACKING, [verdict("x/c", "not_granted", "none of its 1 grants names shop/web: x/other")])
    assert found is not None and "x/other" not in found.message and "not granted to shop/web" in found.message


def test_what_it_may_have_is_on_its_way():
    assert judged(LACKING, [verdict("shop/a", "")]) is None
    found = judged(LACKING, [verdict("shop/a", ""), verdict("shop/b", "expired")])
    assert found is not None and found.reason == "SecretExpired" and "shop/a" not in found.message
    assert len(LACKING.lacks) > SHOWN
