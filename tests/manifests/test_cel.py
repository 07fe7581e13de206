"""The three CEL expressions of the installation, compiled and evaluated by another implementation of the language than the
API server's: syntax, and the answer for each kind of object. What an API server adds (types, cost limits) only it can
show."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import celpy
import pytest
from celpy import celtypes

from statefulset import manifests


class There(celtypes.MapType):
    """An object that is not null. celpy knows no comparison of a map with null, which CEL has."""

    def __ne__(self, other: object) -> bool:
        return True if other is None else bool(super().__ne__(other))

    __hash__ = None  # type: ignore[assignment]


def evaluate(text: str, functions: dict[str, Callable[..., Any]] | None = None, **values: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(text), functions=functions or {})
    given = {key: celpy.json_to_cel(value) for key, value in values.items()}
    return bool(program.evaluate({k: There(v) if isinstance(v, celtypes.MapType) else v for k, v in given.items()}))


def the(kind: str) -> dict[str, Any]:
    (found,) = (each for each in manifests.load() if each["kind"] == kind)
    return found


# -- which pods are sent to the webhook ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("metadata", "sent"),
    [
        ({}, False),
        ({"labels": {"app": "web"}, "annotations": {"a": "b"}}, False),
        ({"labels": {"raftsafe.io/inject": "true"}}, True),
        ({"annotations": {"raftsafe.io/inject": "true"}}, True),
        ({"labels": {"app": "web"}, "annotations": {"raftsafe.io/inject": "false"}}, True),
        ({"labels": {"raftsafe.io/injected": "true"}}, False),
    ],
)
def test_only_pods_that_say_something_of_injection_are_sent(metadata, sent):
    (hook,) = the("MutatingWebhookConfiguration")["webhooks"]
    (condition,) = hook["matchConditions"]
    assert evaluate(condition["expression"], object={"metadata": metadata}) is sent


# -- who may hand out a secret by a SafeSecret -----------------------------------------------------------------------
def admitted(new: list[str] | None, old: list[str] | bool | None, may: bool) -> tuple[bool, list[tuple[str, str]]]:
    """`old`: False for a creation. The answer, and what the authorizer was asked."""
    asked: list[tuple[str, str]] = []

    def step(name: str, target: Any, word: Any = "") -> Any:
        asked.append((name, str(word)))
        return celtypes.BoolType(may) if name == "allowed" else target

    words = ("group", "resource", "subresource", "namespace", "check", "allowed")
    functions = {name: functools.partial(step, name) for name in words}

    def of(grants: list[str] | None) -> dict[str, Any]:
        return {
            "metadata": {"namespace": "shop"},
            "spec": {"sealed": {}} | ({} if grants is None else {"grants": grants}),
        }

    (rule,) = the("ValidatingAdmissionPolicy")["spec"]["validations"]
    before = None if old is False else of(old)  # type: ignore[arg-type]  # True is no case
    return evaluate(rule["expression"], functions, object=of(new), oldObject=before, authorizer="a"), asked


def test_grants_ask_for_the_right_to_grant():
    for may in (True, False):
        allowed, asked = admitted(["shop/web"], False, may)
        assert allowed is may
        assert asked == [
            ("group", "raftsafe.io"),
            ("resource", "safesecrets"),
            ("subresource", "grant"),
            ("namespace", "shop"),
            ("check", "update"),
            ("allowed", ""),
        ]


@pytest.mark.parametrize(
    ("new", "old", "free"),
    [
        (None, False, True),
        ([], False, True),
        (["shop/web"], ["shop/web"], True),  # as the controller's own writes
        (["shop/web", "x/y"], ["shop/web"], False),
        (["shop/web"], None, False),
        (["shop/web"], [], False),
        ([], ["shop/web"], True),  # taking away hands out nothing
    ],
)
def test_who_changes_no_grants_is_not_asked_for_it(new, old, free):
    assert admitted(new, old, may=False)[0] is free
    assert admitted(new, old, may=True)[0] is True


# -- the window of a SafeSecret --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("window", "good"),
    [
        ({}, True),
        ({"notBefore": "2030-01-01T00:00:00Z"}, True),
        ({"notBefore": "2030-01-01T00:00:00Z", "expires": "2030-01-02T00:00:00Z"}, True),
        ({"notBefore": "2030-01-01T00:00:00+02:00", "expires": "2030-01-01T00:00:00Z"}, True),
        ({"notBefore": "2030-01-02T00:00:00Z", "expires": "2030-01-01T00:00:00Z"}, False),
        ({"notBefore": "2030-01-01T00:00:00Z", "expires": "2030-01-01T00:00:00Z"}, False),
    ],
)
def test_a_window_that_never_opens_is_refused(window, good):
    """A string of format date-time is a timestamp to these rules
    (https://kubernetes.io/docs/reference/using-api/cel/, OpenAPI types)."""
    (version,) = the("CustomResourceDefinition")["spec"]["versions"]
    (rule,) = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule["rule"]))
    moments = celtypes.MapType({celtypes.StringType(key): celtypes.TimestampType(text) for key, text in window.items()})
    assert bool(program.evaluate({"self": moments})) is good
