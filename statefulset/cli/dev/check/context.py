"""What the steps of a check share: the cluster, what was written so far, and how a step fails.

Why it exists: a step that fails must say what was expected and what was seen, and no step may forget a value that it
planted, since the search for plaintext goes through all of them.
What it refuses to do: print a value.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from statefulset.cli.dev.harness import DevCluster, Done, Workload
from statefulset.cli.dev.watch import Watcher

PATIENCE: Final = 20.0
"""Seconds that anything may take before a step fails; thousands of times what it takes."""
GRANT: Final = "demo/web"


class Failed(Exception):
    """A promise that does not hold. `logs`: processes whose logs are of interest; empty: all nodes."""

    def __init__(self, expected: str, seen: str, logs: Sequence[str] = ()) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen
        self.logs = tuple(logs)


@dataclasses.dataclass(frozen=True)
class Known:
    """The last acknowledged value of a secret."""

    value: bytes = dataclasses.field(repr=False)
    version: int = 0


@dataclasses.dataclass(frozen=True)
class Passed:
    """What a step saw: one line for people, the same as numbers."""

    line: str
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Acknowledged:
    """A write through the API. Monotonic seconds."""

    version: int
    sent_at: float
    at: float


class Context:
    """One check's memory. Names of secrets are in the namespace demo and given without it."""

    def __init__(self, cluster: DevCluster, random_bytes: Callable[[int], bytes]) -> None:
        self.cluster = cluster
        self.random_bytes = random_bytes
        self.client = cluster.client(PATIENCE)
        self.truth: dict[str, Known] = {}
        self.planted: list[bytes] = []
        self.printed: list[str] = []
        self.killed: list[str] = []

    @property
    def web(self) -> Workload:
        return self.cluster.workloads["web"]

    def canary(self) -> bytes:
        """A new value that is text, without a newline, and cannot be anywhere by chance."""
        return self.plant(b"canary-" + self.random_bytes(16).hex().encode())

    def plant(self, value: bytes) -> bytes:
        self.planted.append(value)
        return value

    # -- writing -----------------------------------------------------------------------------------------------------

    def safe(self, *arguments: str, stdin: bytes = b"") -> Done:
        """Run the command; what it prints is searched for values at the end."""
        done = self.cluster.safe(*arguments, stdin=stdin)
        self.printed += [done.out, done.err]
        return done

    def put(self, name: str, value: bytes) -> int:
        """`safe put` with the value on standard input; the version. Raises Failed unless it is the next one."""
        done = self.safe("put", f"demo/{name}", "--for", GRANT, "--allow-empty", "--json", stdin=value)
        if done.code != 0:
            raise Failed(f"`safe put demo/{name}` to succeed", f"exit code {done.code}: {done.err.strip()}")
        return self._learn(name, value, int(json.loads(done.out)["version"]))

    def send(self, name: str, value: bytes) -> Acknowledged:
        """The same through the API, on a connection that is open already."""
        body = {"fields": {"value": base64.b64encode(value).decode()}, "grants": [GRANT]}
        sent_at = time.monotonic()
        answer = self.client.change("PUT", f"/v1/secrets/demo/{name}", body=body)
        at = time.monotonic()
        return Acknowledged(self._learn(name, value, int(answer.data["version"])), sent_at, at)

    def _learn(self, name: str, value: bytes, version: int) -> int:
        due = self.truth.get(name, Known(b"")).version + 1
        if version != due:
            raise Failed(f"demo/{name} to be at version {due}", f"version {version}")
        self.truth[name] = Known(value, version)
        return version

    # -- looking -----------------------------------------------------------------------------------------------------

    def watch(self, *names: str, mount: Path | None = None) -> Watcher:
        return Watcher(mount or self.web.mount, names)

    def arrived(self, watcher: Watcher, name: str, what: str) -> float:
        """When the file had the value last acknowledged. Raises Failed if that does not come about."""
        value = self.truth[name].value
        at = watcher.wait(name, value, PATIENCE)
        if at is None:
            raise self.not_there(self.web.mount / name, value, what)
        return at

    def not_there(self, path: Path, value: bytes, what: str) -> Failed:
        try:
            found = path.read_bytes()
            seen = f"{len(found)} bytes, which {'are the same' if found == value else 'differ'}"
        except OSError as error:
            seen = f"{error.strerror}: {path.name}"
        processes = [*self.cluster.names, self.web.process]
        return Failed(f"the file {path.name} to hold the {len(value)} bytes {what}", seen, processes)

    def all_files(self, mount: Path, what: str) -> None:
        """Wait until every acknowledged value is in its file below `mount`. Raises Failed."""
        for name, known in self.truth.items():
            if not self.until(lambda name=name, known=known: _holds(mount / name, known.value)):  # type: ignore[misc]
                raise self.not_there(mount / name, known.value, what)

    @staticmethod
    def until(condition: Callable[[], object], timeout: float = PATIENCE) -> bool:
        """Whether `condition` became true in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def sidecar_status(self, workload: Workload) -> dict[str, Any]:
        """Its status file; empty if there is none yet."""
        try:
            found = json.loads((workload.mount / "..status.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _holds(path: Path, value: bytes) -> bool:
    try:
        return path.read_bytes() == value
    except OSError:
        return False


def ms(seconds: float) -> float:
    """Milliseconds with two digits after the point, never below zero."""
    return round(max(0.0, seconds) * 1000, 2)
