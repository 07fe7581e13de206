"""The table of rights: one entry a route, and no entry that lets everybody in."""

from __future__ import annotations

from node.admin.app import routes
from node.admin.limits import Limits
from node.admin.middleware import OPEN
from node.admin.rights import GRANT, NEEDS, VALUE, Need, Right, rights

BY_BODY = {"secret.apply", "secret.explain"}
"""Routes whose handler asks for each thing that its body names."""


def test_every_route_that_is_not_open_has_an_entry(node):
    closed = {route.action for route in routes(node.services, Limits())} - OPEN
    assert closed <= set(NEEDS)
    assert not OPEN & set(NEEDS)


def test_an_entry_needs_something_unless_its_handler_asks_by_itself():
    assert {action for action, needs in NEEDS.items() if not needs} == BY_BODY


def test_nothing_that_changes_is_open_to_those_who_may_only_look():
    looks = {"get", "list"}
    for action, needs in NEEDS.items():
        if action in BY_BODY:
            continue
        changes = action.split(".")[1] not in (
            "get",
            "value",
            "history",
            "rollout",
            "list",
            "status",
            "sidecars",
            "metrics",
        )
        assert any(need.verb not in looks for need in needs) == changes, action


def test_reading_a_value_needs_a_right_of_its_own():
    assert VALUE in NEEDS["secret.value"] and all(VALUE not in NEEDS[name] for name in NEEDS if name != "secret.value")


def test_where_a_right_must_hold():
    needs = (Need("get"), GRANT, Need("list", scope="namespace"), Need("get", "safeclusters", scope="cluster"))
    assert rights(needs, "pay/db", "") == (
        Right("get", "safesecrets", "", "pay", "db"),
        Right("update", "safesecrets", "grant", "pay", "db"),
        Right("list", "safesecrets", "", "", ""),
        Right("get", "safeclusters", "", "", ""),
    )
    assert rights(needs[2:3], "", "pay") == (Right("list", "safesecrets", "", "pay", ""),)


def test_how_a_right_reads():
    assert (
        str(Right("get", "safesecrets", "value", "pay", "db")) == "get safesecrets/value.raftsafe.io in namespace pay"
    )
    assert str(Right("list", "safesecrets", "", "", "")) == "list safesecrets.raftsafe.io in all namespaces"
    assert str(Right("get", "safeclusters", "", "", "")) == "get safeclusters.raftsafe.io"
