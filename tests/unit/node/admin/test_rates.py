"""The rate of one identity: simulated time for the bucket, the real door for the answer."""

from __future__ import annotations

import pytest

from node.admin.rates import IDENTITIES, Rates
from node.errors import Retry


class Clock:
    at = 100.0

    def now(self):
        return self.at


def test_a_bucket_empties_and_fills():
    clock = Clock()
    rates = Rates(clock, 10)
    for _ in range(20):
        rates.charge("one", 1)
    with pytest.raises(Retry) as caught:
        rates.charge("one", 1)
    assert caught.value.code == "too_many_requests" and caught.value.after == pytest.approx(0.1) and caught.value.hint
    rates.charge("two", 1)
    clock.at += 0.5
    for _ in range(5):
        rates.charge("one", 1)
    with pytest.raises(Retry):
        rates.charge("one", 1)
    clock.at += 1000
    rates.charge("one", 20)
    with pytest.raises(Retry):
        rates.charge("one", 1)


def test_what_costs_more_than_a_full_bucket_takes_all_of_it():
    clock = Clock()
    rates = Rates(clock, 10)
    rates.charge("one", 1000)
    clock.at += 1.9
    with pytest.raises(Retry) as caught:
        rates.charge("one", 1000)
    clock.at += caught.value.after
    rates.charge("one", 1000)


def test_buckets_are_bounded_and_the_oldest_goes():
    rates = Rates(Clock(), 1)
    for number in range(IDENTITIES + 5):
        rates.charge(str(number), 2)
    assert len(rates._buckets) == IDENTITIES
    rates.charge("0", 2)
    with pytest.raises(Retry):
        rates.charge(str(IDENTITIES), 2)


async def test_one_who_asks_too_much_is_told_when_to_come_again(api):
    api.server._limits.rates = Rates(Clock(), 5)
    for _ in range(10):
        assert (await api.put("a/b")).status == 200
    answer = await api.put("a/b")
    assert (answer.status, answer.code) == (429, "too_many_requests") and int(answer.headers["Retry-After"]) >= 1
    assert (await api.call("GET", "/livez", token=None)).status == 200
    assert (await api.call("GET", "/v1/status", token="wrong")).status == 401
    assert api.node.store.get("a/b").version == 10


async def test_a_long_page_costs_more_than_a_short_one(api):
    api.server._limits.rates = Rates(Clock(), 100)
    assert (await api.call("GET", "/v1/secrets?limit=1000")).status == 200
    assert (await api.call("GET", "/v1/secrets?limit=1000")).status == 429
    assert (await api.call("GET", "/v1/secrets?limit=10")).status == 200


async def test_who_has_no_rights_at_all_has_a_rate_too(api):
    """Refusals were free: a service account without any right could ask, and fill the audit log, as fast as it liked."""
    api.server._limits.rates = Rates(Clock(), 5)
    codes = [(await api.call("GET", "/v1/secrets/a/b", token="workload-token")).code for _ in range(12)]
    assert codes == ["forbidden"] * 10 + ["too_many_requests"] * 2
    assert len(api.node.gate.asked) <= 20
    assert (await api.call("GET", "/v1/secrets/a/b")).code == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "tokens"),
    [
        ("GET", "/v1/secrets/a/b/rollout", None, 100),
        ("GET", "/v1/sidecars", None, 100),
        ("GET", "/v1/status", None, 10),
        ("GET", "/v1/secrets?limit=50", None, 1 + 5),
        ("GET", "/v1/explain/a/x?limit=80", None, 1 + 8),
        ("GET", "/v1/explain/a/x?secret=a/b", None, 1),
        ("POST", "/v1/apply", {"secrets": [{"name": f"a/n{n}", "fields": {"v": ""}} for n in range(7)]}, 7),
        ("GET", "/v1/secrets/a/b", None, 1),
    ],
)
async def test_what_a_request_costs(api, method, path, body, tokens):
    await api.put("a/b")
    rates = api.server._limits.rates = Rates(Clock(), 500)
    assert (await api.call(method, path, body)).status == 200
    assert [1000 - left for left, _ in rates._buckets.values()] == [tokens]
