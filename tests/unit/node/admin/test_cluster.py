"""Status, sidecars, probes."""

from __future__ import annotations

from importlib.metadata import version

from node.admin.limits import MAX_BODIES
from sidecar.wire.messages import Report


async def test_status(api):
    await api.put("a/b")
    api.node.sidecars.add("p1", {"a/b": 1})
    api.node.sidecars.add("p2", {}, connected=False)
    status = (await api.call("GET", "/v1/status")).json
    assert status["node"] == "safe-0" and status["version"] == version("raftsafe")
    assert (status["secrets"], status["sidecars"], status["stale"]) == (1, 1, False)
    assert (status["state"], status["leader"], status["quorum"], status["ready"]) == ("leader", "safe-0", True, True)
    assert status["voters"] == ["safe-0"] and status["applied"] == api.node.raft.index


async def test_status_without_a_quorum(api):
    api.node.raft.quorum = False
    status = (await api.call("GET", "/v1/status")).json
    assert (status["quorum"], status["stale"], status["leader"]) == (False, True, None)


async def test_resize(api):
    answer = await api.call("PUT", "/v1/members", {"size": 5})
    assert (answer.status, answer.json) == (200, {"size": 5, "index": api.node.raft.index})
    assert (await api.call("GET", "/v1/status")).json["size"] == 5


async def test_resize_refuses_what_is_no_size(api):
    for body in ({}, {"size": 0}, {"size": "3"}, {"size": True}, {"size": 3, "more": 1}, {"size": 10}):
        assert (await api.call("PUT", "/v1/members", body)).code == "invalid"
    assert (await api.call("PUT", "/v1/members", {"size": 3}, Content_Type="text/plain")).code == "invalid"
    assert (await api.call("PUT", "/v1/members?size=3", {"size": 3})).code == "invalid"
    api.server._limits._bytes = MAX_BODIES
    assert (await api.call("PUT", "/v1/members", {"size": 3})).code == "too_many_requests"
    api.server._limits._bytes = 0
    api.node.raft.quorum = False
    assert (await api.call("PUT", "/v1/members", {"size": 3})).code == "no_quorum"
    assert api.node.raft.size == 1


async def test_sidecars(api):
    api.node.sidecars.add("p1", {"a/b": 1}, error="no_space", stale=True, want=frozenset({"a/c", "a/b"}))
    assert (await api.call("GET", "/v1/sidecars")).json == [
        {
            "pod": "p1",
            "namespace": "payments",
            "serviceaccount": "api",
            "node": "safe-0",
            "since_ms": 1_700_000_000_000,
            "index": 1,
            "placed": {"a/b": 1},
            "want": ["a/b", "a/c"],
            "error": "no_space",
            "connected": True,
            "stale": True,
            "left": False,
            "at_ms": 0,
            "mode": "run",
            "agent": "test",
            "render": None,
            "notify": None,
            "notified": None,
            "notify_failed": None,
            "staleness_ms": None,
        }
    ]


async def test_sidecars_of_a_node_without_a_quorum(api):
    """They are told all the same, with the word that what they hold may not be the newest."""
    for number in range(600):
        api.node.sidecars.add(f"p{number}", {})
    for quorum, stale in ((True, "false"), (False, "true")):
        api.node.raft.quorum = quorum
        answer = await api.call("GET", "/v1/sidecars")
        assert answer.headers["Raftsafe-Stale"] == stale
        assert [one["pod"] for one in answer.json] == [f"p{number}" for number in range(600)]


async def test_sidecars_tell_how_they_fare(api):
    api.node.sidecars.add("p1", {}, report=Report("app.env: no field", "HTTP 500", 3, 1, 9000))
    [one] = (await api.call("GET", "/v1/sidecars")).json
    assert (one["render"], one["notify"], one["notified"], one["notify_failed"], one["staleness_ms"]) == (
        "app.env: no field", "HTTP 500", 3, 1, 9000,
    )  # fmt: skip


async def test_queries_are_refused(api):
    for path in ("/v1/status?x=1", "/v1/sidecars?x=1"):
        assert (await api.call("GET", path)).code == "invalid"


async def test_ready(api):
    answer = await api.call("GET", "/readyz", token=None)
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_not_ready_says_why_in_one_line(api):
    raft = api.node.raft
    raft.ready = False
    lines = set()
    for disk_ok, state, quorum in (
        (False, "leader", True),
        (True, "blank", True),
        (True, "follower", False),
        (True, "follower", True),
    ):
        raft.disk_ok, raft.state, raft.quorum = disk_ok, state, quorum
        answer = await api.call("GET", "/readyz", token=None)
        assert answer.status == 503
        assert answer.body.count(b"\n") == 1
        lines.add(answer.body)
    assert len(lines) == 4


async def test_live_does_not_depend_on_a_quorum(api):
    api.node.raft.quorum = api.node.raft.ready = False
    assert (await api.call("GET", "/livez", token=None)).body == b"ok\n"
