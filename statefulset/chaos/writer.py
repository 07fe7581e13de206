"""Rotates secrets without a pause through the admin API, and remembers what was acknowledged, and when.

    python -m statefulset.chaos.writer '{"servers": [URL, ...], "ca": PATH, "token": PATH, "seed": N,
        "shares": [{"period": SECONDS, "secrets": [{"name": "ns/name", "fields": [...], "grants": [...]}]}],
        "tell": SECONDS}'

As a process it puts each secret until it is acknowledged, then rotates them until SIGTERM, and says what is new as one
line of JSON every `tell` seconds (one, if that is left out), for statefulset.chaos.tally. After its last line it stays
for a while: a log goes with its pod.

Why it exists: an acknowledgement is the promise the run is about; each is kept with its wall time.
What it refuses to do: guess. A write without an answer may or may not have happened; it is counted as open and the next
one has the next number, so the files tell.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from statefulset.chaos import marks
from statefulset.chaos.history import Ack, Secret
from statefulset.chaos.load import Share
from statefulset.cli.client import Client
from statefulset.cli.connection import Connection
from statefulset.cli.errors import CliError

PATIENCE: Final = 30.0
"""Seconds that one write may take."""
REFUSED: Final = 0.5
"""Seconds until the next write after one that failed."""
HOME: Final = 8.0
"""Seconds after which a writer goes back to the node it began with: a client stays with the one that answered last, and
after a few outages all of them would ask the same."""
TELL: Final = 1.0
STOP: Final = frozenset({signal.SIGTERM})
LINGER: Final = 60.0
"""Seconds for whoever collects the last line of a pod's log."""


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

    def end(self) -> None:
        """No more writes after the one that is under way."""
        self._ended.set()

    def stop(self) -> None:
        self.end()
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


class Teller:
    """One line of JSON with what is new since the last one. Lines are numbered: a log may lose its beginning."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers
        self._shown = [(0, 0)] * len(writers)
        self._lines = 0

    def tell(self, ready: bool = False, ended: bool = False) -> None:
        """`ready`: each secret was put once; `ended`: nothing is written any more."""
        self._lines += 1
        acks: list[tuple[Any, ...]] = []
        failed: list[tuple[float, str]] = []
        for number, writer in enumerate(self._writers):
            before, now = self._shown[number], (len(writer.acks), len(writer.failed))
            acks += map(dataclasses.astuple, writer.acks[before[0] : now[0]])
            failed += writer.failed[before[1] : now[1]]
            self._shown[number] = now
        line = {
            "n": self._lines,
            "at": time.time(),
            "acks": acks,
            "failed": failed,
            "tried": {name: count for writer in self._writers for name, count in writer.numbers.items()},
            "problem": next((writer.problem for writer in self._writers if writer.problem), ""),
            "ready": ready,
            "ended": ended,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def made(
    shares: Iterable[Share], servers: tuple[str, ...], client: Callable[[tuple[str, ...]], Client], seed: int
) -> list[Writer]:
    """One writer a share; each begins with another of `servers`, all of which `client` gets in its order."""
    out = []
    for number, share in enumerate(shares):
        turn = number % len(servers)
        ordered = servers[turn:] + servers[:turn]
        out.append(Writer(functools.partial(client, ordered), share.secrets, share.period, seed + number))
    return out


def of_process(asked: Mapping[str, Any]) -> list[Writer]:
    """The writers that its argument asks for."""
    shares = [
        Share(
            share["period"],
            tuple(Secret(each["name"], tuple(each["fields"]), tuple(each["grants"])) for each in share["secrets"]),
        )
        for share in asked["shares"]
    ]

    def client(servers: tuple[str, ...]) -> Client:
        return Client(Connection(servers, Path(asked["ca"]), Path(asked["token"])), PATIENCE)

    return made(shares, tuple(asked["servers"]), client, asked["seed"])


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # of all threads: it is waited for, and so heard at once
    asked = json.loads(sys.argv[1])
    writers = of_process(asked)
    teller = Teller(writers)
    for writer in writers:
        for secret in writer.secrets:
            while not STOP & signal.sigpending() and not any(ack.secret == secret.name for ack in writer.acks):
                writer.put(secret)
                teller.tell()
    for writer in writers:
        writer.start()
    teller.tell(ready=True)
    while signal.sigtimedwait(STOP, asked.get("tell", TELL)) is None:
        teller.tell(ready=True)
    for writer in writers:
        writer.end()
    for writer in writers:
        writer.stop()
    teller.tell(ready=True, ended=True)
    time.sleep(LINGER)


if __name__ == "__main__":
    main()
