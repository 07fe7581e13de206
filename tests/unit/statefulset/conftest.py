"""The API server in memory as a pod of the StatefulSet sees it: with the rights that the manifests give a node, and able
to be told to fail."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from statefulset import manifests

from .farside.apiserver import ApiServer
from .farside.cluster import Cluster, Refusal

NAMESPACE = "raftsafe"


class Kept(MutableMapping[tuple[str, str], Any]):
    """Secrets and ConfigMaps of the store's namespace: (plural, name) -> document."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getitem__(self, key: tuple[str, str]) -> Any:
        found = self._cluster.read("", key[0], NAMESPACE, key[1])
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: tuple[str, str], document: Any) -> None:
        self._cluster.put("", key[0], document)

    def __delitem__(self, key: tuple[str, str]) -> None:
        self._cluster.delete(("", key[0], NAMESPACE, key[1]))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for plural in ("secrets", "configmaps"):
            yield from ((plural, each["metadata"]["name"]) for each in self._cluster.list("", plural, NAMESPACE))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Api(ApiServer):
    """`asked`: method and path of each request. `failing`: status codes for the next requests, first one first.
    `barrier`: holds every POST until that many have come. `folder`, `env`: the node's account, and what the kubelet
    puts into its containers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Cluster([each for each in manifests.load() if "Role" in each["kind"]]))
        self.objects = Kept(self.cluster)
        self.asked: list[tuple[str, str]] = []
        self.failing: list[int] = []
        self.barrier: threading.Barrier | None = None
        self.folder, env = self.account(f"{NAMESPACE}/safe-node")
        self.env = {**env, "SAFE_NAMESPACE": NAMESPACE}

    def answer(self, method: str, target: str, *rest: Any) -> Any:
        self.asked.append((method, urlsplit(target).path))
        if self.failing:
            raise Refusal(self.failing.pop(0))
        if method == "POST" and self.barrier is not None:
            self.barrier.wait(30)
        return super().answer(method, target, *rest)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    running = Api(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a real tmpfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="raftsafe-test-") as path:
        yield Path(path)
