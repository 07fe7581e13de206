"""Rotates secrets without a pause through the admin API, and remembers what was acknowledged, and when.

Why it exists: an acknowledgement is the promise the run is about; each is kept with its wall time.
What it refuses to do: guess. A write without an answer may or may not have happened; it is counted as open and the next
one has the next number, so the files tell.
"""

from __future__ import annotations

import base64
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from statefulset.chaos import marks
from statefulset.chaos.history import Ack, Secret
from statefulset.cli.client import Client
from statefulset.cli.errors import CliError

PATIENCE: Final = 30.0
"""Seconds that one write may take."""
REFUSED: Final = 0.5
"""Seconds until the next write after one that failed."""
HOME: Final = 8.0
"""Seconds after which a writer goes back to the node it began with: a client stays with the one that answered last, and
after a few outages all of them would ask the same."""


def body(secret: Secret, number: int) -> Mapping[str, object]:
    fields = {
        field: base64.b64encode(marks.content(f"{secret.name}/{field}", number)).decode() for field in secret.fields
    }
    return {"fields": fields, "grants": list(secret.grants)}


class Writer(threading.Thread):
    """Rotates one of `secrets` by chance every `period` seconds on average until `stop`. `client` makes one that begins
    with the same node each time. `failed`: when and what. `problem`: what ended it."""

    def __init__(self, client: Callable[[], Client], secrets: Sequence[Secret], period: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.acks: list[Ack] = []
        self.failed: list[tuple[float, str]] = []
        self.problem = ""
        self.numbers: dict[str, int] = dict.fromkeys((secret.name for secret in secrets), 0)
        self.secrets = tuple(secrets)
        self._make, self._period = client, period
        self._client, self._since = client(), time.monotonic()
        self._rng = random.Random(seed)  # noqa: S311 - a run is chosen, not a key
        self._ended = threading.Event()

    def stop(self) -> None:
        self._ended.set()
        self.join(2 * PATIENCE)

    def put(self, secret: Secret) -> None:
        number = self.numbers[secret.name] = self.numbers[secret.name] + 1
        begin = time.time()
        try:
            path = f"/v1/secrets/{secret.name}"
            version = self._client.change("PUT", path, body=body(secret, number)).data["version"]
        except CliError as error:
            self.failed.append((time.time(), f"{secret.name} write {number}: {error}"))
            self._ended.wait(REFUSED)
            return
        self.acks.append(Ack(secret.name, number, version, begin, time.time()))

    def run(self) -> None:
        try:
            while not self._ended.wait(self._rng.uniform(0.5, 1.5) * self._period):
                self.put(self._rng.choice(self.secrets))
                self._go_home()
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def _go_home(self) -> None:
        if time.monotonic() - self._since > HOME:
            self._client.__exit__()
            self._client, self._since = self._make(), time.monotonic()


def versions(client: Client, secrets: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The version the store has now of each that is there. Raises CliError."""
    for secret in secrets:
        try:
            yield secret, int(client.read(f"/v1/secrets/{secret}", patient=True).data["version"])
        except CliError as error:
            if error.code != "not_found":
                raise
