"""The CEL expressions of the installation, compiled and evaluated by another implementation of the language than the
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


# -- who may write a SafeSecret, and who may hand it out by one ------------------------------------------------------
UPDATE = "update safesecrets in shop named db"
GRANT = "update safesecrets/grant in shop named db"
OTHER = {"sealed": {"pw": "safe1.BBBB"}}


def spec(grants: list[str] | None = None) -> dict[str, Any]:
    return {"sealed": {"pw": "safe1.AAAA"}} | ({} if grants is None else {"grants": grants})


def refused(new: dict[str, Any], old: dict[str, Any] | None, *rights: str) -> list[str]:
    """What each refusal says, for somebody with these rights; `new`, `old`: the spec, None for a creation."""
    asked: dict[str, str] = {}

    def step(name: str, target: Any, word: Any = "") -> Any:
        asked[name] = str(word)
        if name != "allowed":
            return target
        what = asked["resource"] + (f"/{asked['subresource']}" if "subresource" in asked else "")
        right = f"{asked['check']} {what} in {asked.get('namespace')} named {asked.get('name')}"
        return celtypes.BoolType(asked["group"] == "raftsafe.io" and right in rights)

    words = ("group", "resource", "subresource", "namespace", "name", "check", "allowed")
    functions = {name: functools.partial(step, name) for name in words}
    about = {"metadata": {"namespace": "shop", "name": "db"}}
    before = None if old is None else about | {"spec": old}
    out = []
    for rule in the("ValidatingAdmissionPolicy")["spec"]["validations"]:
        asked.clear()
        values = {"object": about | {"spec": new}, "oldObject": before, "authorizer": "a"}
        if not evaluate(rule["expression"], functions, **values):
            assert rule["reason"] == "Forbidden" and "raftsafe-editor" in rule["message"]
            out.append(rule["message"])
    return out


@pytest.mark.parametrize("grants", [None, [], ["shop/web"]])
def test_a_creation_needs_the_right_to_update_since_the_store_may_have_one(grants):
    """With create alone: what somebody put there was replaced, and with no grants taken from all who had it."""
    assert any("update safesecrets.raftsafe.io" in each for each in refused(spec(grants), None, GRANT))
    assert refused(spec(grants), None, UPDATE, GRANT) == []


@pytest.mark.parametrize(
    ("new", "old", "free"),
    [
        (spec(), spec(), True),  # as the controller's finalizers
        (spec(["shop/web"]), spec(["shop/web"]), True),
        (OTHER, spec(), False),  # by patch, which is another verb
    ],
)
def test_another_spec_needs_the_right_to_update(new, old, free):
    assert (refused(new, old, GRANT) == []) is free
    assert refused(new, old, UPDATE) == []


@pytest.mark.parametrize(
    ("new", "old", "free"),
    [
        (None, spec(), True),
        (["shop/web"], OTHER | {"grants": ["shop/web"]}, True),
        ([], OTHER | {"grants": []}, True),
        (None, None, True),
        (["shop/web"], None, False),
        ([], None, False),  # the store may have one with grants
        (["shop/web", "x/y"], spec(["shop/web"]), False),
        (["shop/web"], spec(), False),
        (["shop/web"], spec([]), False),
        ([], spec(["shop/web"]), False),
        ([], spec(), False),
        (None, spec(["shop/web"]), False),
    ],
)
def test_other_grants_need_the_right_to_grant(new, old, free):
    told = refused(spec(new), old, UPDATE)
    assert told == [] if free else len(told) == 1 and "update safesecrets/grant.raftsafe.io" in told[0]
    assert refused(spec(new), old, UPDATE, GRANT) == []


@pytest.mark.parametrize("role", ["raftsafe-editor", "raftsafe-operator", "raftsafe-control"])
def test_the_roles_that_write_have_all_that_is_asked(role):
    """And patch, which `kubectl apply` uses on what is there."""
    found = [each for each in manifests.load() if each["kind"] == "ClusterRole" and each["metadata"]["name"] == role]
    rights = {(what, verb) for rule in found[0]["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    needed = {("safesecrets", verb) for verb in ("get", "create", "update", "patch")}
    assert needed | {("safesecrets/grant", "update")} <= rights


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
