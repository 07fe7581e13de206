"""The store as the controller needs it: any node for most questions, every node for what each knows of its own pods.

Why it exists: how far a version has come, and how sidecars fare, is known only by all nodes together.
What it refuses to do: hold a value; what goes through here is sealed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from statefulset.cli.client import Answer, Client
from statefulset.cli.cluster import merged, split
from statefulset.cli.connection import Connection
from statefulset.cli.errors import AWAY, CliError
from statefulset.cli.rollout import Look, together
from statefulset.cli.rounds import Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Sidecars:
    """`receipts`: one a sidecar; `stale`: nodes without a quorum; `whole`: every node has answered."""

    receipts: Sequence[dict[str, Any]]
    stale: frozenset[str]
    whole: bool


class Store:
    """Use as a context manager. `each_server`: URL of one node, {name} being its pod. Raises CliError."""

    def __init__(self, connection: Connection, each_server: str, timeout: float) -> None:
        self._connection, self._each, self._timeout = connection, each_server, timeout
        self._client = Client(connection, timeout)
        self._members: tuple[str, ...] = ()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def read(self, path: str, **params: str) -> Any:
        return self._client.read(path, params, patient=True).data

    def change(self, method: str, path: str, body: object = None) -> Any:
        return self._client.change(method, path, body=body).data

    def rollout(self, name: str) -> Look:
        """What all nodes together know of it."""
        answers, failures = self._everywhere(f"/v1/secrets/{name}/rollout")
        return together([answer.data for answer in answers], failures)

    def sidecars(self) -> Sidecars:
        """How they fare, also without a quorum."""
        answers, failures = self._everywhere("/v1/sidecars")
        return Sidecars(
            merged([item for answer in answers for item in answer.data]),
            frozenset(item["node"] for answer in answers if answer.stale for item in answer.data),
            not failures,
        )

    def _everywhere(self, path: str) -> tuple[list[Answer], list[Failure]]:
        """The answers of all members, and who did not answer."""
        try:
            status = self._client.read("/v1/status").data
            self._members = (*status["voters"], *status["learners"])
        except CliError:
            # Without a quorum no node is ready, and the address of the ready ones leads nowhere: those known before
            # are asked.
            if not self._members:
                raise
        servers = tuple(dict.fromkeys(self._each.replace("{name}", node) for node in self._members))
        with Client(dataclasses.replace(self._connection, servers=servers), self._timeout) as everywhere:
            answers, failures = split(everywhere.ask_each(path))
        if not answers:
            raise CliError("no node tells of its pods", code="unavailable", exit_code=AWAY)
        return answers, failures
