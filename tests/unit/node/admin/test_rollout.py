"""The route; who counts and why not is tested with node.delivery.rollout."""

from __future__ import annotations

from node.admin import rollout


async def test_this_nodes_pods_with_their_reasons(api, monkeypatch):
    monkeypatch.setattr(rollout, "SLICE", 2)
    await api.put("a/b", grants=["payments/api"])
    await api.put("a/b")
    sidecars = api.node.sidecars
    for number in range(3):
        sidecars.add(f"new-{number}", {"a/b": 2})
    sidecars.add("old", {"a/b": 1})
    sidecars.add("full", {"a/b": 1}, error="no_space")
    sidecars.add("other", {}, serviceaccount="other")
    sidecars.add("asks", {}, serviceaccount="other", want=frozenset({"a/b"}))
    answer = (await api.call("GET", "/v1/secrets/a/b/rollout")).json
    assert (answer["name"], answer["version"], answer["node"]) == ("a/b", 2, "safe-0")
    assert (answer["current"], answer["total"], answer["stale"]) == (3, 5, False)
    assert answer["members"] == ["safe-0"] and answer["index"] == api.node.raft.index
    assert {one["pod"]: (one["version"], one["reason"], one["counts"]) for one in answer["pods"]} == {
        "new-0": (2, "", True),
        "new-1": (2, "", True),
        "new-2": (2, "", True),
        "old": (1, "behind", True),
        "full": (1, "no_space", True),
        "asks": (None, "not_granted", False),
    }


async def test_it_is_answered_without_a_quorum(api):
    await api.put("a/b")
    api.node.raft.quorum = False
    answer = (await api.call("GET", "/v1/secrets/a/b/rollout")).json
    assert answer["stale"] is True and answer["pods"] == [] and (answer["current"], answer["total"]) == (0, 0)


async def test_what_is_not_there_is_refused(api):
    assert (await api.call("GET", "/v1/secrets/a/b/rollout")).code == "not_found"
    await api.put("a/b")
    await api.call("DELETE", "/v1/secrets/a/b")
    assert (await api.call("GET", "/v1/secrets/a/b/rollout")).code == "deleted"
    assert (await api.call("GET", "/v1/secrets/a/b/rollout?x=1")).code == "invalid"
