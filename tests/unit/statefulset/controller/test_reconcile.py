"""The decision, and a model: whatever the store and the resource have been through, it settles and stays settled."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulset.controller.reconcile import (
    FINALIZER,
    AddFinalizer,
    Apply,
    Delete,
    Invalid,
    RemoveFinalizer,
    Rollout,
    Stored,
    applied,
    decide,
    delivered,
    failed,
    wanted,
)

NOW = "2026-11-24T12:00:00Z"


def resource(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "db", "generation": 3, "finalizers": [FINALIZER]},
        "spec": {"sealed": {"password": "safe1.AAAA"}, "grants": ["shop/web"]} | spec,
    }


def settled(of: dict[str, Any], version: int = 4) -> tuple[dict[str, Any], Stored]:
    body = wanted(of)
    stored = Stored(version, tuple(body.get("grants", ())), body["not_before_ms"], body["expires_ms"])
    return of | {"status": applied(of, version, NOW)}, stored


def test_the_finalizer_comes_before_the_secret() -> None:
    new = resource()
    new["metadata"]["finalizers"] = []
    assert decide(new, None) == AddFinalizer()


def test_a_new_one_is_applied_with_all_it_says() -> None:
    action = decide(resource(expires="2030-01-01T00:00:00Z"), None)
    assert action == Apply(
        {
            "name": "shop/db",
            "sealed": {"password": "safe1.AAAA"},
            "grants": ["shop/web"],
            "not_before_ms": None,
            "expires_ms": 1893456000000,
        }
    )


def test_what_is_settled_is_left_alone() -> None:
    assert decide(*settled(resource())) is None


@pytest.mark.parametrize(
    "drifted",
    [
        None,
        Stored(5, ("shop/web",)),
        Stored(4, ("shop/web",), deleted=True),
        Stored(4, ("shop/web", "*/*")),
        Stored(4, ()),
        Stored(4, ("shop/web",), expires_ms=1),
        Stored(4, ("shop/web",), not_before_ms=1),
    ],
)
def test_drift_is_repaired(drifted: Stored | None) -> None:
    of, _ = settled(resource())
    assert isinstance(decide(of, drifted), Apply)


def test_without_grants_those_of_the_store_stay_and_an_empty_list_takes_them_away() -> None:
    of = resource()
    del of["spec"]["grants"]
    first = decide(of, Stored(7, ("shop/web",)))
    assert isinstance(first, Apply) and "grants" not in first.body
    of, _ = settled(of)
    assert decide(of, Stored(4, ("by/hand",))) is None
    of["spec"]["grants"] = []
    emptied = decide(of, Stored(4, ("by/hand",)))
    assert isinstance(emptied, Apply) and emptied.body["grants"] == []


def test_other_values_are_applied_and_another_order_of_grants_is_not() -> None:
    of, stored = settled(resource(grants=["a/b", "c/d"]))
    of["spec"]["grants"] = ["c/d", "a/b", "a/b"]
    assert decide(of, stored) is None
    of["spec"]["sealed"] = {"password": "safe1.BBBB"}
    assert isinstance(decide(of, stored), Apply)


def test_deletion_follows_the_policy() -> None:
    of, stored = settled(resource())
    of["metadata"]["deletionTimestamp"] = NOW
    assert decide(of, stored) == Delete()
    assert decide(of, None) == RemoveFinalizer()
    assert decide(of, Stored(4, deleted=True)) == RemoveFinalizer()
    of["spec"]["deletionPolicy"] = "Retain"
    assert decide(of, stored) == RemoveFinalizer()
    of["metadata"]["finalizers"] = ["somebody.else/holds"]
    assert decide(of, stored) is None


@pytest.mark.parametrize("wrong", [{"expires": "soon"}, {"notBefore": "2030-01-01T00:00:00"}, {"expires": 7}])
def test_a_moment_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        decide(resource(**wrong), None)


def test_a_window_that_ends_before_it_begins() -> None:
    with pytest.raises(Invalid, match="not before"):
        decide(resource(notBefore="2030-01-01T00:00:00Z", expires="2029-01-01T00:00:00Z"), None)


def test_a_broken_resource_can_still_be_deleted() -> None:
    of = resource(expires="soon")
    of["metadata"]["deletionTimestamp"] = NOW
    assert decide(of, Stored(1)) == Delete()


def test_a_refusal_keeps_what_was_said_of_the_version_in_force() -> None:
    of, _ = settled(resource())
    status = failed(of, "NotAuthentic", "x" * 5000, "2026-11-24T13:00:00Z")
    assert status["version"] == 4 and status["conditions"][0]["status"] == "False"
    assert len(status["conditions"][0]["message"]) == 1024
    again = failed(of | {"status": status}, "NotAuthentic", "still", "2026-11-24T14:00:00Z")
    assert again["conditions"][0]["lastTransitionTime"] == "2026-11-24T13:00:00Z"
    assert applied(of | {"status": again}, 5, NOW)["conditions"][0]["lastTransitionTime"] == NOW


def test_delivered_is_written_only_when_it_changes() -> None:
    of, _ = settled(resource())
    status = delivered(of, Rollout(2, 3))
    assert status is not None and status["delivered"] == "2/3" and status["version"] == 4
    assert delivered(of | {"status": status}, Rollout(2, 3)) is None


class World:
    """A store in four lines, and the resource: what a controller's steps do to them."""

    def __init__(self, of: dict[str, Any]) -> None:
        self.resource, self.stored, self.values = of, None, {}
        self.stored: Stored | None
        self.values: dict[str, str]

    def step(self) -> bool:
        action = decide(self.resource, self.stored)
        meta = self.resource["metadata"]
        match action:
            case AddFinalizer():
                meta["finalizers"] = [*(meta.get("finalizers") or []), FINALIZER]
            case RemoveFinalizer():
                meta["finalizers"].remove(FINALIZER)
                assert self.stored is None or self.stored.deleted, "let go while the store still serves it"
            case Delete():
                assert self.stored is not None
                self.stored = Stored(self.stored.version, self.stored.grants, deleted=True)
            case Apply(body):
                same = self.stored is not None and not self.stored.deleted and self.values == body["sealed"]
                version = self.stored.version if self.stored else 0
                self.values = dict(body["sealed"])
                self.stored = Stored(
                    version if same else version + 1, tuple(body["grants"]), body["not_before_ms"], body["expires_ms"]
                )
                self.resource["status"] = applied(self.resource, self.stored.version, NOW)
        return action is not None


@given(
    st.lists(st.sampled_from(["spec", "put", "grant", "delete", "status", "finalizer", "step", "going"]), max_size=14)
)
def test_whatever_happened_it_settles(happenings: list[str]) -> None:
    world = World(copy.deepcopy(resource()))
    for number, what in enumerate(happenings):
        if what == "spec":
            world.resource["spec"]["sealed"] = {"password": f"safe1.{number}"}
        elif what == "put":
            world.stored, world.values = Stored((world.stored.version if world.stored else 0) + 1), {"x": "by hand"}
        elif what == "grant" and world.stored:
            world.stored = Stored(world.stored.version, ("evil/one",), deleted=world.stored.deleted)
        elif what == "delete" and world.stored:
            world.stored = Stored(world.stored.version, world.stored.grants, deleted=True)
        elif what == "status":
            world.resource.pop("status", None)
        elif what == "finalizer" and "deletionTimestamp" not in world.resource["metadata"]:
            world.resource["metadata"]["finalizers"] = []
        elif what == "going":
            world.resource["metadata"]["deletionTimestamp"] = NOW
        else:
            world.step()
    steps = 0
    while world.step():
        steps += 1
        assert steps < 5, "it does not settle"
    if "deletionTimestamp" in world.resource["metadata"]:
        assert FINALIZER not in world.resource["metadata"]["finalizers"]
    else:
        assert world.stored is not None and not world.stored.deleted
        assert world.values == world.resource["spec"]["sealed"] and world.stored.grants == ("shop/web",)
