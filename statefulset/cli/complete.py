"""Names of secrets for the shell's completion.

Why it exists: typing payments/d<TAB> is how a name is not mistyped.
What it refuses to do: keep a shell waiting (so it goes through no API server), print anything, or complete what the
caller may not list.
"""

from __future__ import annotations

import contextlib

from sidecar.wire import names

PATIENCE = 1.5
"""Seconds after which there is simply no completion."""
LIMIT = 100


def secret_names(incomplete: str) -> list[str]:
    """Those that begin so; none if the store cannot be asked. With a whole namespace typed only that one is asked for,
    which is a right more people have."""
    from statefulset.cli import options

    namespace, slash, rest = incomplete.partition("/")
    query = {"limit": str(LIMIT), "prefix": incomplete}
    if slash and names.is_namespace(namespace):
        query |= {"namespace": namespace, "prefix": rest}
    with contextlib.suppress(Exception), options.client(PATIENCE, kubeconfig=False) as client:
        return [str(record["name"]) for record in client.read("/v1/secrets", query).data["secrets"]]
    return []
