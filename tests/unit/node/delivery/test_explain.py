"""What is told is what is decided."""

from __future__ import annotations

import random

import pytest

from node.delivery.explain import Explainer, explain
from node.delivery.grants import GrantIndex
from node.delivery.policy import entitled

NOW = 1_800_000_000_000


def told(make_record, grants=(), **more):
    return explain("pay/db", make_record("pay/db", grants=tuple(grants), **more), "pay", "api", NOW)


@pytest.mark.parametrize(
    ("grants", "more", "code", "rule", "says"),
    [
        (["pay/api"], {}, "", "pay/api", "granted by pay/api"),
        (["*/*", "pay/*"], {}, "", "pay/*", "a wildcard for every service account in namespace pay"),
        (["*/api"], {}, "", "*/api", "every service account api in every namespace"),
        (["*/*"], {}, "", "*/*", "every service account in every namespace"),
        ([], {}, "not_granted", "", "granted to nobody"),
        (["pay/web", "shop/api"], {}, "not_granted", "", "none of its 2 grants names pay/api: pay/web, shop/api"),
        (["pay/api"], {"deleted": True}, "deleted", "pay/api", "it is deleted"),
        (["pay/api"], {"not_before_ms": NOW + 1000}, "not_yet_valid", "pay/api", "2027-01-15T08:00:01Z"),
        (["pay/*"], {"expires_ms": NOW}, "expired", "pay/*", "expired at 2027-01-15T08:00:00Z"),
        ([], {"deleted": True}, "not_granted", "", "granted to nobody"),
    ],
)
def test_every_reason(make_record, grants, more, code, rule, says):
    found = told(make_record, grants, **more)
    assert (found.allowed, found.code, found.rule, found.wildcard) == (not code, code, rule, "*" in rule)
    assert says in found.detail and bool(found.hint) == bool(code) and found.version


def test_what_is_not_there():
    found = explain("pay/no", None, "pay", "api", NOW)
    assert (found.code, found.version, found.allowed) == ("not_found", 0, False) and found.hint


def test_many_grants_are_not_all_quoted(make_record):
    found = told(make_record, [f"n{number}/x" for number in range(4000)])
    assert "4000 grants" in found.detail and len(found.detail) < 200


def test_it_agrees_with_what_is_delivered_and_names_a_rule_that_fits(make_record):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    parts = ["*", "pay", "api", "shop"]
    for _ in range(2000):
        grants = tuple({f"{rng.choice(parts)}/{rng.choice(parts)}" for _ in range(rng.randrange(4))})
        times = {key: rng.choice([None, NOW - 1, NOW, NOW + 1]) for key in ("not_before_ms", "expires_ms")}
        record = make_record("pay/db", grants=grants, deleted=rng.random() < 0.2, **times)
        who = rng.choice(["pay", "shop"]), rng.choice(["api", "pay"])
        found = explain("pay/db", record, *who, NOW)
        assert (found.allowed, found.code) == entitled(record, *who, NOW)
        if found.rule:
            assert found.rule in grants
            assert all(part in ("*", word) for part, word in zip(found.rule.split("/"), who, strict=True))
        else:
            assert found.code == "not_granted"


def test_everything_granted_is_bounded_sorted_and_counted(make_record):
    index, records = GrantIndex(), {}
    for number in range(500):
        name = f"{'pay' if number % 2 else 'shop'}/s{number:03}"
        records[name] = make_record(name, grants=("pay/*",) if number % 5 else ("other/x",))
        index.put(name, records[name].grants)

    class Clock:
        def wall_ms(self) -> int:
            return NOW

    explainer = Explainer(records, index.names, Clock())
    found, total = explainer.granted("pay", "api", "", 10)
    assert (
        total == 400
        and [one.secret for one in found] == sorted(name for name in records if records[name].grants == ("pay/*",))[:10]
    )
    found, total = explainer.granted("pay", "api", "shop", 1000)
    assert total == len(found) == 200 and all(one.secret.startswith("shop/") for one in found)
    assert explainer.granted("other", "y", "", 10) == ([], 0)
