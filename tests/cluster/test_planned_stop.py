"""A planned stop of the leader, as every rolling upgrade does it: no write is lost, none fails, none applies twice."""

from __future__ import annotations

import base64
import json
import signal
import threading
from collections.abc import Callable

from statefulset.cli.dev.harness import DevCluster

WRITERS = 4
Until = Callable[..., bool]


class Writer(threading.Thread):
    """Puts one secret again and again, as `safe` would; the store must count exactly as it does."""

    def __init__(self, cluster: DevCluster, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.name_, self.acknowledged, self.last = name, 0, b""
        self.problem: str | None = None
        self._client, self._stop_ = cluster.client(20.0), stop

    def run(self) -> None:
        try:
            while not self._stop_.is_set():
                self._put(b"%d of %s" % (self.acknowledged + 1, self.name_.encode()))
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def _put(self, value: bytes) -> None:
        body = {"fields": {"value": base64.b64encode(value).decode()}, "grants": ["demo/web"]}
        version = self._client.change("PUT", f"/v1/secrets/demo/{self.name_}", body=body).data["version"]
        self.acknowledged += 1
        self.last = value
        if version != self.acknowledged:
            raise AssertionError(f"{self.name_} is at version {version} after {self.acknowledged} writes")


def progress(writers: list[Writer], until: Until, more: int) -> None:
    """Every writer gets `more` further acknowledgements."""
    goals = [writer.acknowledged + more for writer in writers]
    assert until(
        lambda: (
            any(w.problem for w in writers)
            or all(w.acknowledged >= goal for w, goal in zip(writers, goals, strict=True))
        )
    )
    assert not [w.problem for w in writers if w.problem]


def test_sigterm_of_the_leader_under_a_stream_of_puts_loses_none_and_fails_none(
    cluster: DevCluster, until: Until
) -> None:
    stop = threading.Event()
    writers = [Writer(cluster, f"stream-{number}", stop) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        progress(writers, until, 10)
        leader = cluster.leader()
        cluster.supervisor.end(leader, signal.SIGTERM)
        assert cluster.node(leader).code == 0, cluster.node(leader).tail()
        progress(writers, until, 10)
        assert cluster.leader() != leader
        cluster.again(leader)
        cluster.wait_ready(cluster.names)
        progress(writers, until, 10)
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
    assert not [writer.problem for writer in writers if writer.problem]
    listed = json.loads(cluster.safe("list", "--json").out)["secrets"]
    versions = {record["name"]: record["version"] for record in listed}
    assert versions == {f"demo/{writer.name_}": writer.acknowledged for writer in writers}
    mount = cluster.workloads["web"].mount
    assert until(lambda: [(mount / writer.name_).read_bytes() for writer in writers] == [w.last for w in writers])
    assert cluster.supervisor.deaths() == []
