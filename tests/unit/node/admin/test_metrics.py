from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def parsed(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values...) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_it_tells(api) -> None:
    api.node.raft.index = 41
    await api.put("a/b")
    await api.call("GET", "/v1/status", token="expired-token")
    answer = await api.call("GET", "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
    found = parsed(answer.body.decode())
    assert found["raftsafe_leader",] == found["raftsafe_quorum",] == found["raftsafe_ready",] == 1
    assert found["raftsafe_applied_index",] == 42 and found["raftsafe_secrets",] == 1
    assert found["raftsafe_delivery_now", "subscribers"] == 2
    assert found["raftsafe_delivery_events_total", "welcomed"] == 3
    assert found["raftsafe_refusals_total", "token_expired", "admin.cluster.status"] >= 1


async def test_what_goes_down_is_seen(api) -> None:
    api.node.raft.quorum = api.node.raft.ready = False
    found = parsed((await api.call("GET", "/metrics")).body.decode())
    assert found["raftsafe_quorum",] == found["raftsafe_ready",] == 0


async def test_it_asks_for_the_right_to_look_at_the_cluster(api) -> None:
    assert (await api.call("GET", "/metrics", token=None)).code == "unauthenticated"
    assert (await api.call("GET", "/metrics", token="workload-token")).code == "forbidden"
    assert [right.resource for right in api.node.gate.asked][-1] == "safeclusters"


async def test_nobody_is_named(api) -> None:
    await api.put("quite/particular", grants=["some/workload"])
    await api.call("GET", "/v1/secrets/quite/missing")
    text = (await api.call("GET", "/metrics")).body
    assert not [word for word in (b"quite", b"particular", b"missing", b"some", b"workload", b"ops") if word in text]
