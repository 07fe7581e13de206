"""The table of rights, on roles that are bound, bound elsewhere, and not bound at all."""

from __future__ import annotations

from statefulset import rights

ROLE = {
    "kind": "Role",
    "metadata": {"namespace": "n", "name": "r"},
    "rules": [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps", "batch"], "resources": ["jobs"], "verbs": ["create"]},
    ],
}
CLUSTER = {
    "kind": "ClusterRole",
    "metadata": {"name": "c"},
    "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
}


def binding(kind: str, role: dict, **metadata: str) -> dict:
    return {
        "kind": kind,
        "metadata": {"name": "b", **metadata},
        "roleRef": {"kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "Group", "name": "g"}],
    }


def test_each_rule_and_subject_is_a_row():
    assert rights.table([ROLE, binding("RoleBinding", ROLE, namespace="n")])[:2] == [
        ("n/s", "n", "get,list", "secrets", "one"),
        ("n/s", "n", "create", "jobs.apps,jobs.batch", "any"),
    ]


def test_where_a_right_holds_is_the_bindings_matter():
    assert rights.table([CLUSTER, binding("ClusterRoleBinding", CLUSTER)])[0] == (
        "n/s", "everywhere", "get", "/metrics", "-",
    )  # fmt: skip
    assert rights.table([CLUSTER, binding("RoleBinding", CLUSTER, namespace="m")])[1] == (
        "Group g", "m", "get", "/metrics", "-",
    )  # fmt: skip


def test_nothing_is_hidden():
    assert rights.table([CLUSTER]) == [("- (c)", "-", "get", "/metrics", "-")]
    (row, _) = rights.table([binding("RoleBinding", ROLE, namespace="m")])
    assert row[:2] == ("n/s", "m") and "not part of this installation" in row[3]
