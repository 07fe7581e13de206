"""Who counts in a roll-out, and why a pod is not done."""

from __future__ import annotations

import dataclasses

import pytest

from node.delivery.receipts import Receipt
from node.delivery.rollout import FORGIVEN_MS, concerns, stand, worse
from sidecar.wire import messages as m

NOW = 1_000_000
POD = Receipt("web-0", "shop", "web", "safe-0", NOW - 5000, 7, {}, "", "run", "agent/1", report=m.Report())


@pytest.fixture
def record(make_record):
    return make_record("shop/db", version=7, grants=("shop/web",))


def of(**changes):
    return dataclasses.replace(POD, **changes)


def judged(record, stale=False, **changes):
    receipt = of(**changes)
    assert concerns(record, receipt)
    one = stand(record, receipt, NOW, stale, applied=6)
    return one.reason, one.counts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"placed": {"shop/db": 7}}, ""),
        ({"placed": {"shop/db": 9}}, ""),  # of index 7, and the record is as of 6
        ({"placed": {"shop/db": 9}, "index": 6}, "ahead"),
        ({"placed": {"shop/db": 7}, "connected": False, "error": "behind"}, "ahead"),
        ({"placed": {"shop/db": 7}, "error": "behind"}, ""),  # it has found one that is not
        ({"placed": {"shop/db": 6}}, "behind"),
        ({}, "behind"),
        ({"placed": {"shop/db": 6}, "error": "no_space"}, "no_space"),
        ({"placed": {"shop/db": 6}, "error": "write_failed"}, "write_failed"),
        ({"placed": {"shop/db": 7}, "error": "no_space"}, ""),  # another secret does not fit
        ({"placed": {"shop/db": 7}, "report": m.Report(render="app.env: no field `user`")}, "render_failed"),
        ({"placed": {"shop/db": 7}, "report": m.Report(notify="HTTP 500")}, ""),
        ({"placed": {"shop/db": 7}, "report": None}, ""),  # version 1 does not say
        ({"placed": {"shop/db": 6}, "connected": False}, "disconnected"),
        ({"placed": {"shop/db": 7}, "connected": False}, ""),
    ],
)
def test_why_a_pod_is_not_done(record, changes, reason):
    assert judged(record, **changes) == (reason, True)


def test_a_pod_of_a_node_without_quorum_is_stale_not_late(record):
    assert judged(record, stale=True, placed={"shop/db": 6}) == ("stale", True)
    assert judged(record, stale=True, placed={"shop/db": 7}) == ("", True)


def test_what_failed_is_told_in_words(record):
    for changes, detail in (
        ({"report": m.Report(render="app.env: no field `user`")}, "app.env: no field `user`"),
        ({"report": m.Report(notify="HTTP 500")}, "notify: HTTP 500"),
        ({"placed": {}, "error": "token_expired"}, "token_expired"),
    ):
        assert stand(record, of(**({"placed": {"shop/db": 7}} | changes)), NOW, False, 7).detail == detail


def test_a_pod_that_is_gone_does_not_hold_it_up_for_ever(record):
    for ago, counts in ((0, True), (FORGIVEN_MS - 1, True), (FORGIVEN_MS, False), (-1, False)):
        assert judged(record, connected=False, since_ms=NOW - ago) == ("disconnected", counts)


def test_a_pod_that_is_not_granted_is_named_and_does_not_count(record):
    assert judged(record, serviceaccount="other", want=frozenset({"shop/db"})) == ("not_granted", False)
    assert judged(record, serviceaccount="other", placed={"shop/db": 7}) == ("not_granted", False)


def test_a_window_is_a_reason(make_record):
    assert judged(make_record("shop/db", version=7, grants=("shop/web",), not_before_ms=NOW + 1)) == (
        "not_yet_valid", True,
    )  # fmt: skip
    assert judged(make_record("shop/db", version=7, grants=("shop/web",), expires_ms=NOW)) == ("expired", True)


def test_whom_it_does_not_concern(record):
    for changes in (
        {"mode": "init"},
        {"left": True, "connected": False, "placed": {"shop/db": 1}},
        {"want": frozenset({"shop/else"})},
        {"serviceaccount": "other"},
    ):
        assert not concerns(record, of(**changes)), changes


def test_of_two_sidecars_of_a_pod_the_one_that_is_late_counts(record):
    done, late = (stand(record, of(placed={"shop/db": version}), NOW, False, 7) for version in (7, 6))
    assert worse(done, late) is late and worse(late, done) is late and worse(done, done) is done
    stranger = stand(record, of(serviceaccount="other"), NOW, False, 7)
    assert worse(done, stranger) is done
