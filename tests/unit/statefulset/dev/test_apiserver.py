"""The stand-in for the API server's reviews, and the roles that are shipped against the table of rights."""

from __future__ import annotations

import pytest

from node.admin.rights import GRANT, NEEDS, VALUE, Need
from statefulset.cli.dev.apiserver import ACCESS, AUDIENCE, TOKENS, ApiServer, _fits

NODE = {"aud": [AUDIENCE], "sub": "system:serviceaccount:raftsafe:safe-node"}
EVERY = {need for needs in NEEDS.values() for need in needs} | {GRANT, VALUE}


def claims(token: str):
    """ "namespace serviceaccount audience [pod]"."""
    words = token.split()
    if len(words) < 3:
        return None
    bound = {"namespace": words[0], "serviceaccount": {"name": words[1], "uid": "u"}}
    if len(words) == 4:
        bound["pod"] = {"name": words[3], "uid": f"uid-{words[3]}"}
    return {"aud": [words[2]], "sub": f"system:serviceaccount:{words[0]}:{words[1]}", "kubernetes.io": bound}


@pytest.fixture
def api() -> ApiServer:
    return ApiServer(claims)


def ask(api: ApiServer, path: str, bearer: str = f"raftsafe safe-node {AUDIENCE}", **spec):
    return api.answer(path, bearer, {"spec": spec})


def may(api: ApiServer, user: str, need: Need, namespace: str = "pay", groups: tuple[str, ...] = ()) -> bool:
    attributes = {
        "group": "raftsafe.io",
        "resource": need.resource,
        "subresource": need.subresource,
        "verb": need.verb,
        "namespace": "" if need.scope == "cluster" else namespace,
    }
    status, answer = ask(api, ACCESS, user=user, groups=groups, resourceAttributes=attributes)
    assert status == 201
    return bool(answer["status"]["allowed"])


def test_the_operator_and_the_revealer_together_may_everything_in_the_table(api):
    for role in ("raftsafe-operator", "raftsafe-revealer"):
        api.bind(role, "root")
    assert all(may(api, "root", need) for need in EVERY)


def test_who_may_read_values(api):
    for role in api.roles:
        api.bind(role, role)
    assert {role for role in api.roles if may(api, role, VALUE)} == {"raftsafe-revealer"}


def test_the_viewer_changes_nothing_and_sees_the_rest(api):
    api.bind("raftsafe-viewer", "viewer")
    for need in EVERY - {VALUE, GRANT}:
        assert may(api, "viewer", need) == (need.verb in ("get", "list")), need
    assert not may(api, "viewer", GRANT)


def test_a_binding_in_a_namespace_is_good_for_nothing_else(api):
    api.bind("raftsafe-editor", "devs", "pay")
    assert may(api, "alice", Need("update"), groups=("devs",)) and may(api, "alice", GRANT, groups=("devs",))
    assert not may(api, "alice", Need("update"), "shop", groups=("devs",))
    assert not may(api, "alice", Need("list"), "", groups=("devs",))
    assert not may(api, "alice", Need("update"))
    assert not may(api, "alice", Need("get", "safeclusters", scope="cluster"), groups=("devs",))


@pytest.mark.parametrize(("name", "fits"), [("db", True), ("other", False), ("", False)])
def test_a_rule_for_names(name, fits):
    rule = {"apiGroups": ["g"], "resources": ["r"], "verbs": ["*"], "resourceNames": ["db"]}
    assert _fits(rule, {"group": "g", "resource": "r", "verb": "get", "name": name}) == fits


def test_only_the_nodes_are_answered(api):
    assert ask(api, TOKENS, "rubbish", token="x")[0] == 401
    assert ask(api, TOKENS, f"pay api {AUDIENCE}", token="x")[0] == 403
    assert ask(api, TOKENS, "raftsafe safe-node raftsafe", token="x")[0] == 401
    assert ask(api, TOKENS, token="x")[0] == 201


def test_a_token_is_good_for_its_audience_until_its_pod_is_deleted(api):
    def good(token: str, *audiences: str) -> bool:
        return bool(ask(api, TOKENS, token=token, audiences=list(audiences))[1]["status"].get("authenticated"))

    assert good("pay api raftsafe web", "raftsafe") and not good("pay api raftsafe web")
    assert not good("pay api raftsafe web", "other")
    api.delete_pod("uid-web")
    assert not good("pay api raftsafe web", "raftsafe") and good("pay api raftsafe two", "raftsafe")


def test_the_switches(api):
    api.switches.status = 429
    assert ask(api, TOKENS, token="x")[0] == 429
    api.switches.away = True
    assert ask(api, TOKENS, token="x")[0] == 0
    assert api.asked[TOKENS] == 2
