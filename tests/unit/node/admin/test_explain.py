"""The route: what it says, and who may ask."""

from __future__ import annotations

import pytest

SA = "system:serviceaccount:payments:api"


async def test_one_secret_and_all_of_them(api):
    await api.put("pay/db", grants=["pay/api"])
    await api.put("pay/other", grants=["pay/*"])
    await api.put("pay/none")
    one = (await api.call("GET", "/v1/explain/pay/api?secret=pay/db")).json
    assert (one["workload"], one["total"]) == ("pay/api", 1)
    assert one["verdicts"][0]["allowed"] and one["verdicts"][0]["rule"] == "pay/api"
    none = (await api.call("GET", "/v1/explain/pay/api?secret=pay/none")).json["verdicts"][0]
    assert none["code"] == "not_granted" and none["hint"] == "safe grant pay/none pay/api"
    every = (await api.call("GET", "/v1/explain/pay/api")).json
    assert [verdict["secret"] for verdict in every["verdicts"]] == ["pay/db", "pay/other"] and every["total"] == 2
    first = (await api.call("GET", "/v1/explain/pay/api?limit=1&namespace=pay")).json
    assert (len(first["verdicts"]), first["total"]) == (1, 2)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("?secret=pay/db", ("get", "safesecrets", "pay", "*")),
        ("?namespace=pay", ("list", "safesecrets", "pay", "")),
        ("", ("list", "safesecrets", "", "")),
    ],
)
async def test_who_may_ask(api, path, right):
    await api.put("pay/db")
    for rights, status in (
        (set(), 403),
        ({("get", "safesecrets", "shop", "*"), ("list", "safesecrets", "shop", "")}, 403),
        ({right}, 200),
    ):
        api.node.gate.rights[SA] = rights
        answer = await api.call("GET", f"/v1/explain/pay/api{path}", token="workload-token")
        assert answer.status == status, answer.body
        if status == 403:
            assert b"granted" not in answer.body


@pytest.mark.parametrize(
    "path", ["pay/API", "pay/api?secret=x", "pay/api?namespace=X", "pay/api?secret=a/b&namespace=a", "pay/*"]
)
async def test_what_is_malformed(api, path):
    assert (await api.call("GET", f"/v1/explain/{path}")).code == "invalid"
