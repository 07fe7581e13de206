"""Names of secrets for the shell's completion.

Why it exists: typing payments/d<TAB> is how a name is not mistyped.
What it refuses to do: keep a shell waiting (so it goes through no API server), print anything, or complete what the
caller may not list.
"""

from __future__ import annotations

import contextlib
import os

from sidecar.wire import names
from statefulset.cli import connection

PATIENCE = 1.5
"""Seconds after which there is simply no completion."""
LIMIT = 100


def secret_names(incomplete: str, asked: connection.Asked) -> list[str]:
    """Those that begin so; none if the store cannot be asked. With a whole namespace typed only that one is asked for,
    which is a right more people have."""
    if asked.cluster and not asked.dev:
        return []
    namespace, slash, rest = incomplete.partition("/")
    query = {"limit": str(LIMIT), "prefix": incomplete}
    if slash and names.is_namespace(namespace):
        query |= {"namespace": namespace, "prefix": rest}
    with contextlib.suppress(Exception):
        found = connection.find(os.environ, os.getuid(), asked=asked if asked.dev else None)
        from statefulset.cli.client import Client

        with Client(found, PATIENCE) as client:
            return [str(record["name"]) for record in client.read("/v1/secrets", query).data["secrets"]]
    return []
