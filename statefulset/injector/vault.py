"""Annotations of Vault's agent injector, in our words, so that a pod can move without being rewritten.

Why it exists: `vault.hashicorp.com/agent-inject*` is in thousands of manifests. A pod that also asks for our injection
has the common ones understood; what is not understood is said in an admission warning, one line each.
What it refuses to do: act on a pod that carries only Vault's annotations: in a cluster with both injectors it would
get both. Nor does it translate Go templates: the file then holds JSON, and the warning says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sidecar.wire import names
from statefulset.injector.annotations import PREFIX, Refused

VAULT: Final = "vault.hashicorp.com/"
DEFAULT_PATH: Final = "/vault/secrets"
MOUNTS: Final = frozenset({"secret", "kv"})
"""Names that Vault's key-value engine is usually mounted at; they come before the path of a secret."""

SAME: Final[Mapping[str, str]] = {
    "secret-volume-path": "path",
    "agent-inject-containers": "containers",
    "agent-run-as-user": "user",
}
RESOURCES: Final[Mapping[str, str]] = {
    "agent-limits-cpu": "limits.cpu",
    "agent-limits-mem": "limits.memory",
    "agent-requests-cpu": "requests.cpu",
    "agent-requests-mem": "requests.memory",
}
SILENT: Final = frozenset({"agent-inject", "agent-inject-status", "agent-init-first", "agent-pre-populate-only"})
"""Understood, or true of our sidecar anyway (it comes before all other init containers)."""


def translate(annotations: Mapping[str, str], namespace: str) -> tuple[dict[str, str], list[str]]:
    """Our annotations for Vault's, and a warning for each that has no counterpart.

    Raises Refused for a path that cannot be one of our names."""
    theirs = {key.removeprefix(VAULT): value for key, value in annotations.items() if key.startswith(VAULT)}
    if theirs.get("agent-inject") != "true":
        return {}, []
    ours = {PREFIX + "path": DEFAULT_PATH}
    ours |= {PREFIX + name: theirs[key] for key, name in SAME.items() if key in theirs}
    if theirs.get("agent-pre-populate-only") == "true":
        ours[PREFIX + "mode"] = "init"
    resources = [f"{name}={theirs[key]}" for key, name in RESOURCES.items() if key in theirs]
    if resources:
        ours[PREFIX + "resources"] = ",".join(resources)
    used = SILENT | SAME.keys() | RESOURCES.keys()
    files, read = _files(theirs, namespace)
    ours |= _wanted(files)
    warnings = [_warning(key) for key in sorted(theirs.keys() - used - read)]
    return ours, warnings


def _files(theirs: Mapping[str, str], namespace: str) -> tuple[dict[str, str], set[str]]:
    """File -> our secret, and the annotations that were used for it."""
    files, used = {}, set()
    for key, value in sorted(theirs.items()):
        word = key.removeprefix("agent-inject-secret-")
        if word == key:
            continue
        used |= {key, f"agent-inject-file-{word}"}
        files[theirs.get(f"agent-inject-file-{word}", word)] = _secret(value, namespace, VAULT + key)
    return files, used


def _wanted(files: Mapping[str, str]) -> dict[str, str]:
    if not files:
        return {}
    rendered = [{"path": path, "format": "json", "secrets": [name]} for path, name in files.items()]
    return {
        PREFIX + "secrets": ",".join(dict.fromkeys(files.values())),
        PREFIX + "render": json.dumps(rendered),
    }


def _secret(path: str, namespace: str, annotation: str) -> str:
    """`secret/data/shop/db` and `secret/shop/db` are shop/db, `secret/db` is db of the pod's own namespace."""
    parts = [part for part in path.strip("/").split("/") if part]
    if "data" in parts[1:-1]:
        parts = parts[parts.index("data", 1) + 1 :]
    elif parts and parts[0] in MOUNTS:
        parts = parts[1:]
    name = "/".join(parts if len(parts) > 1 else [namespace, *parts])
    if not names.is_secret(name):
        raise Refused(
            f"annotation {annotation}: {path[:200]!r} is no name here; put the secret as namespace/name "
            f"and say so in {PREFIX}secrets"
        )
    return name


def _warning(key: str) -> str:
    if key.startswith("agent-inject-template-"):
        return f"{VAULT}{key} is not translated: the file holds JSON; use {PREFIX}render for another form"
    if key.startswith("agent-inject-command-"):
        return f"{VAULT}{key} is not run; use {PREFIX}notify to tell the application"
    if key == "role" or key.startswith("auth-"):
        return f"{VAULT}{key} has no meaning here: a workload gets what is granted to its service account"
    return f"{VAULT}{key} is not understood and was ignored"
