"""The review endpoints of a development cluster: what a node is answered that asks about a token or a right.

Why it exists: the nodes of `safe dev` ask the very questions they ask in a cluster, through the same client library,
over HTTPS, and the roles are the ones that are shipped. Tests use its switches: away, slow, throttling, a deleted pod,
changed roles. What it refuses to do: answer anybody but the nodes, or be more than TokenReview and
SubjectAccessReview (authentication.k8s.io/v1, authorization.k8s.io/v1).
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

TOKENS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
KINDS: Final = {
    TOKENS: ("TokenReview", "authentication.k8s.io/v1"),
    ACCESS: ("SubjectAccessReview", "authorization.k8s.io/v1"),
}
AUDIENCE: Final = "https://kubernetes.default.svc"
"""Of the API server itself: what a token is good for that was made without naming one."""
NODE: Final = ("raftsafe", "safe-node")
"""Namespace and service account of the nodes. They may ask; nobody else may."""
ROLES: Final = Path(__file__).parents[2] / "base" / "rbac" / "roles.yaml"


@dataclasses.dataclass(frozen=True)
class Binding:
    """A role given to a subject (name of a user or of a group), in one namespace or everywhere ("")."""

    role: str
    subject: str
    namespace: str = ""


@dataclasses.dataclass
class Switches:
    """What a test turns. `slow`: seconds before an answer. `status`: an HTTP error instead of it, such as 429 or 403.
    `away`: connections are dropped without a word."""

    away: bool = False
    slow: float = 0.0
    status: int = 0


Claims = Callable[[str], "dict[str, Any] | None"]
"""The content of a token that we made and that has not expired; None for any other."""


class ApiServer:
    """Answers reviews. `asked` counts the questions by path."""

    def __init__(self, claims: Claims, roles: Path = ROLES) -> None:
        self._claims = claims
        self._lock = threading.Lock()
        self._deleted: set[str] = set()
        self._users: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._bindings: list[Binding] = []
        self.roles = _roles(roles)
        self.switches = Switches()
        self.asked: Counter[str] = Counter()

    def delete_pod(self, uid: str) -> None:
        """The tokens bound to the pod with this uid are good for nothing from here on."""
        with self._lock:
            self._deleted.add(uid)

    def add_user(self, token: str, name: str, *groups: str) -> None:
        """A person with a token of another kind than ours, as from an identity provider."""
        with self._lock:
            self._users[token] = (name, groups)

    def bind(self, role: str, subject: str, namespace: str = "") -> None:
        """Raises KeyError if there is no such role."""
        assert self.roles[role]
        with self._lock:
            self._bindings.append(Binding(role, subject, namespace))

    def unbind(self, role: str, subject: str, namespace: str = "") -> None:
        with self._lock:
            self._bindings.remove(Binding(role, subject, namespace))

    def answer(self, path: str, bearer: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body. Status 0: drop the connection."""
        switches = self.switches
        with self._lock:
            self.asked[path] += 1
        if switches.slow:
            time.sleep(switches.slow)
        if switches.away:
            return 0, {}
        if switches.status:
            return switches.status, _problem(switches.status)
        asker = self._person(bearer, AUDIENCE)
        if asker is None:
            return 401, _problem(401)
        if asker["username"] != f"system:serviceaccount:{NODE[0]}:{NODE[1]}":
            return 403, _problem(403)
        spec = body.get("spec")
        if not isinstance(spec, dict):
            return 400, _problem(400)
        status = self._token(spec) if path == TOKENS else self._access(spec)
        kind, group = KINDS[path]
        return 201, {"apiVersion": group, "kind": kind, "metadata": {}, "spec": spec, "status": status}

    def _token(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        wanted = spec.get("audiences") or [AUDIENCE]
        for audience in wanted:
            user = self._person(str(spec.get("token", "")), audience)
            if user is not None:
                return {"authenticated": True, "user": user, "audiences": [audience]}
        return {"user": {}, "error": "the token is not accepted"}

    def _person(self, token: str, audience: str) -> dict[str, Any] | None:
        with self._lock:
            known = self._users.get(token)
        if known is not None:  # of the kind that knows no audience but the API server's
            groups = [*known[1], "system:authenticated"]
            return {"username": known[0], "groups": groups} if audience == AUDIENCE else None
        claims = self._claims(token)
        if claims is None or audience not in claims["aud"]:
            return None
        bound = claims["kubernetes.io"]
        pod = bound.get("pod")
        with self._lock:
            if pod is not None and pod["uid"] in self._deleted:
                return None
        space = bound["namespace"]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated"]
        extra = {}
        if pod is not None:
            extra["authentication.kubernetes.io/pod-name"] = [pod["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [pod["uid"]]
        return {"username": claims["sub"], "uid": bound["serviceaccount"]["uid"], "groups": groups, "extra": extra}

    def _access(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        asked = spec.get("resourceAttributes") or {}
        subjects = {str(spec.get("user", "")), *map(str, spec.get("groups") or ())}
        with self._lock:
            bindings = list(self._bindings)
        for binding in bindings:
            here = binding.namespace in ("", asked.get("namespace", ""))
            if here and binding.subject in subjects and any(_fits(rule, asked) for rule in self.roles[binding.role]):
                return {"allowed": True, "reason": f"{binding.role} for {binding.subject}"}
        return {"allowed": False}


def _fits(rule: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """As the RBAC authoriser matches a rule (rbac/v1, PolicyRule). `resourceNames` fits a question about one object."""
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    names = rule.get("resourceNames") or ()
    return (
        _among(asked.get("verb", ""), rule["verbs"])
        and _among(asked.get("group", ""), rule["apiGroups"])
        and _among(resource, rule["resources"])
        and (not names or asked.get("name", "") in names)
    )


def _among(word: str, words: list[str]) -> bool:
    return word in words or "*" in words


def _roles(path: Path) -> dict[str, list[dict[str, Any]]]:
    documents = yaml.safe_load_all(path.read_text("utf-8"))
    return {one["metadata"]["name"]: one["rules"] for one in documents if one}


def _problem(status: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "metadata": {}}
