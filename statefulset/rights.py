"""Who may do what: the RBAC of an installation as a table for people.

Why it exists: roles, rules and bindings are four documents apart; what is granted can only be judged together.
What it refuses to do: hide anything. A role that nobody is bound to is listed, with `-` for who.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Document = dict[str, Any]
HEAD: Final = ("WHO", "WHERE", "MAY", "WHAT", "NAMED")


def table(documents: list[Document]) -> list[tuple[str, str, str, str, str]]:
    """(subject, namespace or `everywhere`, verbs, resources with their group, object names or `any`), a row a rule."""
    roles = {_key(each): each for each in documents if each["kind"] in ("Role", "ClusterRole")}
    rows: list[tuple[str, str, str, str, str]] = []
    unbound = dict(roles)
    for binding in (each for each in documents if each["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        where = binding["metadata"].get("namespace", "everywhere") if binding["kind"] == "RoleBinding" else "everywhere"
        reference = binding["roleRef"]
        key = (reference["kind"], where if reference["kind"] == "Role" else "", reference["name"])
        unbound.pop(key, None)
        for subject in binding["subjects"]:
            rows += _rows(_who(subject), where, roles.get(key), reference["name"])
    for (kind, namespace, name), role in unbound.items():
        rows += _rows(f"- ({name})", namespace if kind == "Role" else "-", role, name)
    return rows


def _key(role: Document) -> tuple[str, str, str]:
    return role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]


def _who(subject: Document) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"{subject['namespace']}/{subject['name']}"
    return f"{subject['kind']} {subject['name']}"


def _rows(who: str, where: str, role: Document | None, name: str) -> Iterator[tuple[str, str, str, str, str]]:
    if role is None:
        yield who, where, "what the role allows", f"{name} (not part of this installation)", "-"
        return
    for rule in role.get("rules") or ():
        verbs = ",".join(rule["verbs"])
        if "nonResourceURLs" in rule:
            yield who, where, verbs, ",".join(rule["nonResourceURLs"]), "-"
            continue
        what = ",".join(
            f"{resource}.{group}" if group else resource
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        )
        yield who, where, verbs, what, ",".join(rule.get("resourceNames", ())) or "any"
