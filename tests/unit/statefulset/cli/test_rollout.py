"""One look from what several nodes say, and the command as a process against real admin APIs."""

from __future__ import annotations

import itertools
import json
import threading
import time

import pytest

from sidecar.wire.messages import Report
from statefulset.cli.rollout import together

NODES = ["safe-0", "safe-1", "safe-2"]


def pod(name="p", node="safe-0", version=2, **changes):
    base = {
        "pod": name, "namespace": "a", "serviceaccount": "x", "node": node, "connected": True, "since_ms": 100,
        "at_ms": 0, "version": version, "reason": "", "detail": "", "counts": True,
    }  # fmt: skip
    return base | changes


def answer(node, *pods, version=2, stale=False, members=NODES):
    return {"name": "a/b", "node": node, "version": version, "stale": stale, "members": members, "pods": list(pods)}


def test_all_nodes_and_all_pods_make_it_complete():
    answers = [answer(node, pod(f"p-{node}", node)) for node in NODES]
    look = together(answers)
    assert look.complete and (look.current, len(look.counted)) == (3, 3)
    assert not together(answers[:2]).complete and list(together(answers[:2]).absent) == ["safe-2"]


def test_a_pod_that_moved_counts_once_where_it_is_connected():
    there = pod(node="safe-1", since_ms=200)
    gone = pod(node="safe-0", version=1, connected=False, reason="disconnected", since_ms=900)
    for answers in itertools.permutations([answer("safe-0", gone), answer("safe-1", there), answer("safe-2")]):
        look = together(answers)
        assert look.complete and list(look.pods) == [there]


def test_the_newest_version_of_all_counts():
    look = together([answer("safe-0", pod(version=1), version=1), answer("safe-1", version=2), answer("safe-2")])
    assert look.version == 2 and not look.complete
    assert [one["reason"] for one in look.pods] == ["behind"]


def test_why_it_is_late_on_a_node_without_quorum_or_after_it_left():
    old = [answer("safe-1"), answer("safe-2")]
    [one] = together([answer("safe-0", pod(version=1), version=1, stale=True), *old]).pods
    assert one["reason"] == "stale"
    [one] = together([answer("safe-0", pod(version=1, connected=False), version=1), *old]).pods
    assert one["reason"] == "disconnected"


def test_who_does_not_count_does_not_hold_it_up():
    stranger = pod("s", version=None, reason="not_granted", counts=False)
    look = together([answer("safe-0", stranger, pod()), answer("safe-1"), answer("safe-2")])
    assert look.complete and (look.current, len(look.counted)) == (1, 1)


@pytest.fixture
def stored(server):
    from node.store import commands

    for number in (1, 2):
        server.node.raft.index += 1
        command = commands.Put(
            rid=bytes([number]) * 16, t=1, actor="x", name="payments/db", fields=(("value", 1),), generation=1,
            write_id=b"w", sealed=b"s", grants=("payments/api",),
        )  # fmt: skip
        server.node.store.apply(server.node.raft.index, commands.encode(command))
    return server


def test_m_of_n_and_the_others_with_the_reason(safe, stored):
    sidecars = stored.node.sidecars
    sidecars.add("api-0", {"payments/db": 2})
    sidecars.add("api-1", {"payments/db": 1})
    sidecars.add("api-2", {"payments/db": 2}, report=Report(render="app.env: no field `user`"))
    sidecars.add("api-3", {"payments/db": 1}, error="no_space")
    sidecars.add("api-4", {"payments/db": 1}, connected=False)
    sidecars.add("api-5", {}, serviceaccount="other", want=frozenset({"payments/db"}))
    result = safe("rollout", "status", "payments/db")
    lines = result.text.splitlines()
    assert result.code == 3 and lines[0] == "payments/db version 2: 1 of 5 pods have it"
    for name, why in (
        ("api-1", "has not got it yet"),
        ("api-2", "rendering failed: app.env: no field `user`"),
        ("api-3", "its volume is full"),
        ("api-4", "not connected"),
        ("api-5", "not granted (not waited for)"),
    ):
        assert [line for line in lines if f"payments/{name} " in line and line.endswith(why)], (name, result.text)
    assert "api-0" not in result.text
    data = json.loads(safe("rollout", "status", "payments/db", "--json").text)
    assert (data["complete"], data["current"], data["total"], data["version"]) == (False, 1, 5, 2)
    assert {one["pod"]: one["reason"] for one in data["pods"]}["api-3"] == "no_space"


def test_complete(safe, stored):
    stored.node.sidecars.add("api-0", {"payments/db": 2})
    result = safe("rollout", "status", "payments/db", "--wait")
    assert (result.code, result.text) == (0, "payments/db version 2: 1 of 1 pods have it\n")


def test_wait_sees_it_come(safe, stored):
    sidecars = stored.node.sidecars
    sidecars.add("api-0", {"payments/db": 1})

    def arrives():
        time.sleep(3)
        sidecars.all.clear()
        sidecars.add("api-0", {"payments/db": 2})

    thread = threading.Thread(target=arrives)
    thread.start()
    result = safe("rollout", "status", "payments/db", "--wait", "--timeout", "60")
    thread.join()
    assert result.code == 0 and "1 of 1" in result.text
    assert "0 of 1" in result.error, "it said so while it waited"


def test_wait_gives_up(safe, stored):
    stored.node.sidecars.add("api-0", {"payments/db": 1})
    result = safe("rollout", "status", "payments/db", "--wait", "--timeout", "0.5", "--json")
    assert result.code == 3 and json.loads(result.text)["complete"] is False


def test_what_has_expired_is_not_waited_for(safe, stored):
    from node.store import commands

    stored.node.raft.index += 1
    command = commands.PatchMeta(rid=b"9" * 16, t=1, actor="x", name="payments/db", expires_ms=2)
    stored.node.store.apply(stored.node.raft.index, commands.encode(command))
    stored.node.sidecars.add("api-0", {"payments/db": 1})
    began = time.monotonic()
    result = safe("rollout", "status", "payments/db", "--wait", "--timeout", "200")
    assert time.monotonic() - began < 100, "it waited for what cannot come"
    assert result.code == 1 and "0 of 1 pods have it" in result.text and "expired" in result.text
    assert "safe: payments/db has expired: no pod gets it any more (expired)" in result.error
    assert "hint: put a new value, or `safe patch payments/db --expires TIME`" in result.error
    data = safe("rollout", "status", "payments/db", "--json")
    assert data.code == 1 and json.loads(data.text)["complete"] is False
    assert json.loads(data.error)["error"]["code"] == "expired"


def test_what_is_not_valid_yet_may_come(safe, stored):
    from node.store import commands

    stored.node.raft.index += 1
    command = commands.PatchMeta(rid=b"9" * 16, t=1, actor="x", name="payments/db", not_before_ms=1 << 50)
    stored.node.store.apply(stored.node.raft.index, commands.encode(command))
    stored.node.sidecars.add("api-0", {})
    result = safe("rollout", "status", "payments/db", "--wait", "--timeout", "0.5")
    assert result.code == 3 and "not valid yet" in result.text


def test_a_node_that_does_not_answer_is_said_and_not_complete(make_safe, stored, nowhere):
    stored.node.sidecars.add("api-0", {"payments/db": 2})
    stored.node.raft.voters = ("safe-0", "safe-1")
    result = make_safe(stored.url, nowhere)("rollout", "status", "payments/db")
    assert result.code == 3 and "1 of 1" in result.text
    assert nowhere in result.error and "safe-1" in result.error


def test_refused(safe, stored):
    result = safe("rollout", "status", "payments/none")
    assert result.code == 1 and "(not_found)" in result.error


def test_a_node_that_has_not_heard_of_the_secret_yet(make_server, make_safe, stored):
    behind = make_server()
    safe = make_safe(behind.url, stored.url)
    stored.node.sidecars.add("api-0", {"payments/db": 2})
    result = safe("rollout", "status", "payments/db")
    assert "1 of 1" in result.text and "there is no secret" in result.error


def test_of_two_connected_sidecars_of_a_pod_the_one_that_is_late_counts():
    late = pod(node="safe-0", version=1, since_ms=100)
    for since in (50, 200):
        done = pod(node="safe-1", since_ms=since)
        look = together([answer("safe-0", late), answer("safe-1", done), answer("safe-2")])
        assert not look.complete and [one["reason"] for one in look.pods] == ["behind"]


def test_one_that_is_refused_is_waited_for_and_the_remedy_is_shown(safe, stored):
    stored.node.sidecars.add("api-0", {"payments/db": 9}, error="behind", connected=False, index=77)
    result = safe("rollout", "status", "payments/db")
    assert result.code == 3 and "0 of 1 pods have it" in result.text and "recreate the pod" in result.text
    assert "recreate the pod" in safe("sidecars").text
