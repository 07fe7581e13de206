"""The store as the controller needs it: any node for most questions, every node for how far a version has come.

Why it exists: a rollout is known only by all nodes together, each knowing its own pods.
What it refuses to do: hold a value; what goes through here is sealed.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from statefulset.cli.client import Client
from statefulset.cli.cluster import split
from statefulset.cli.connection import Connection
from statefulset.cli.errors import AWAY, CliError
from statefulset.cli.rollout import Look, together


class Store:
    """Use as a context manager. `each_server`: URL of one node, {name} being its pod. Raises CliError."""

    def __init__(self, connection: Connection, each_server: str, timeout: float) -> None:
        self._connection, self._each, self._timeout = connection, each_server, timeout
        self._client = Client(connection, timeout)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def read(self, path: str) -> Any:
        return self._client.read(path, patient=True).data

    def change(self, method: str, path: str, body: object = None) -> Any:
        return self._client.change(method, path, body=body).data

    def rollout(self, name: str) -> Look:
        """What all nodes together know of it."""
        status = self.read("/v1/status")
        servers = tuple(dict.fromkeys(self._each.replace("{name}", node) for node in status["voters"]))
        with Client(dataclasses.replace(self._connection, servers=servers), self._timeout) as everywhere:
            answers, failures = split(everywhere.ask_each(f"/v1/secrets/{name}/rollout"))
        if not answers:
            raise CliError("no node tells of its pods", code="unavailable", exit_code=AWAY)
        return together([answer.data for answer in answers], failures)
