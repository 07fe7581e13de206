"""The table of routes."""

from __future__ import annotations

from node.admin.app import create_app, routes
from node.admin.limits import Limits
from node.admin.middleware import OPEN


def test_actions_are_unique_and_the_open_ones_exist(node):
    actions = [route.action for route in routes(node.services, Limits())]
    assert len(set(actions)) == len(actions) and set(actions) >= OPEN


def test_only_what_is_listed_is_open():
    assert {"probe.live", "probe.ready", "api.document", "seal.key"} == OPEN


def test_no_route_answers_head_or_options(node):
    app = create_app(node.services)
    assert {route.method for route in app.router.routes()} == {"PUT", "GET", "PATCH", "DELETE", "POST"}
