"""`safe chaos pods` with everything real but the cluster: nodes, sidecars, writer and readers are the processes that pods
would run, found and deleted through an API server in memory which enforces the rights that the command says it needs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from statefulset import manifests
from statefulset.chaos import load, place
from statefulset.cli import chaos
from statefulset.cli.__main__ import run
from statefulset.cli.dev import programs
from statefulset.cli.dev.harness import DevCluster, Options

from ..unit.statefulset.chaos.test_pods import OWN, rights
from ..unit.statefulset.farside.apiserver import ApiServer
from ..unit.statefulset.farside.cluster import Cluster, Document
from ..unit.statefulset.farside.kubelet import Kubelet, admitted, command, process

WRITER = f"system:serviceaccount:{OWN}:writer"


class Pod:
    """A reader's container and its sidecar."""

    def __init__(self, cluster: DevCluster, name: str, reading: subprocess.Popen[bytes]) -> None:
        self._cluster, self._name, self._reading = cluster, name, reading

    def poll(self) -> int | None:
        return self._reading.poll()

    def terminate(self) -> None:
        self._reading.terminate()
        if self._name in self._cluster.workloads:
            self._cluster.end_workload(self._name)

    def kill(self) -> None:
        self._reading.kill()

    def wait(self, timeout: float | None = None) -> int:
        return self._reading.wait(timeout)


class Machine:
    def __init__(self, cluster: DevCluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._env = programs.clean(os.environ)
        self._starter = ThreadPoolExecutor(1)  # a process of the harness ends with the thread that started it

    def start_node(self, name: str) -> None:
        self._starter.submit(self._cluster.again, name).result(60)
        client, deadline = self._cluster.client(2.0, [name]), time.monotonic() + 60
        while True:
            (found,) = client.ask_each("/v1/status")
            if getattr(found, "data", {}).get("ready"):
                return
            assert time.monotonic() < deadline, f"{name} is not ready"
            time.sleep(0.1)

    def end_node(self, name: str, force: bool) -> None:
        self._cluster.supervisor.end(name, signal.SIGKILL if force else signal.SIGTERM)

    def start(self, pod: Document, log: Path) -> Any:
        name = pod["metadata"]["name"]
        module, asked = command(pod)
        if module == "statefulset.chaos.writer":
            token = self._cluster.issuer.token(OWN, name, audience=programs.ADMIN_AUDIENCE, pod=name)
            (self._folder / "writer-token").write_text(token)
            asked |= {"servers": list(self._cluster.servers()), "ca": str(self._cluster.home.ca_file)}
            asked |= {"token": str(self._folder / "writer-token"), "tell": 0.2}
            return process([sys.executable, "-m", module, json.dumps(asked)], log, self._env)
        # What the webhook puts in front of the container: a sidecar, and a gate until its files are there.
        workload = self._cluster.add_workload(name, namespace=OWN)
        self._cluster._wait_complete(workload)
        asked["pods"][name]["mount"] = str(workload.mount)
        return Pod(self._cluster, name, process([sys.executable, "-m", module, json.dumps(asked)], log, self._env))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ApiServer, DevCluster, Kubelet]]:
    from statefulset.chaos.needed import NEEDS

    with DevCluster(Options(workloads=0, port=0, private=True, restart=False)) as cluster:
        cluster.issuer.api.bind("raftsafe-editor", WRITER, OWN)
        objects = Cluster(rights(NEEDS))
        api = ApiServer(tmp_path, objects)
        api.tokens["admin-token"] = "ops/admin"
        api.issued[f"{OWN}/writer"] = cluster.issuer.token(OWN, "writer", audience=programs.ADMIN_AUDIENCE)
        objects.admission = lambda plural, document: admitted("raftsafe", plural, document)
        for document in manifests.load():
            if document["kind"] == "StatefulSet":
                objects.put("apps", "statefulsets", document)
            if document["kind"] == "MutatingWebhookConfiguration":
                document["webhooks"][0]["clientConfig"]["caBundle"] = "Zm9v"
                objects.put("admissionregistration.k8s.io", "mutatingwebhookconfigurations", document)
        published = {"ca.crt": cluster.home.ca_file.read_text()}
        objects.put(
            "", "configmaps", {"metadata": {"name": "raftsafe-identity", "namespace": "raftsafe"}, "data": published}
        )
        for name, ports in zip(cluster.names, cluster.ports.nodes, strict=True):
            api.ports[f"raftsafe/{name}", 8500] = ports.admin
        kubelet = Kubelet(api, Machine(cluster, tmp_path), tmp_path, cluster.names, "raftsafe", second=0.3)
        kubelet.start()
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig("kubeconfig", {"token": "admin-token"})))
        for name in ("SAFE_SERVER", "SAFE_NAMESPACE", "SAFE_CONTEXT", "SAFE_AS_SERVICEACCOUNT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(chaos, "mark", lambda: "test")
        monkeypatch.setattr(place, "LOOK", 0.1)
        monkeypatch.setattr(load, "PERIODS", tuple(period / 3 for period in load.PERIODS))
        yield api, cluster, kubelet
        kubelet.stop()
        api.stop()


@pytest.mark.parametrize("how", [[], ["--force", "--percentage", "100"]], ids=["one told", "all forced"])
def test_real_nodes_and_sidecars_keep_their_promises(installed: Any, capsys: Any, how: list[str]) -> None:
    api, cluster, kubelet = installed
    asked = ["--namespace", "raftsafe", "--duration", "6s", "--interval", "2s", "--workloads", "2", "--seed", "5"]
    code = run(["chaos", "pods", *asked, "--yes", "--json", *how])
    told = capsys.readouterr()
    assert told.out, told.err
    found = json.loads(told.out)
    print({key: value for key, value in found.items() if key != "phases"})
    assert (code, found["wrong"]) == (0, []), told.err
    assert found["kills"] >= 1 and found["deliveries"] > found["writes_acknowledged"] > 20
    assert found["violations"] == 0 and found["reads"] > 1000
    assert kubelet.problems == [] and api.cluster.denied == []
    assert not [key for key in api.cluster._objects if OWN in (key[2], key[3])], "the namespace is gone"
    assert not json.loads(cluster.safe("list", "--json").out)["secrets"], "and the secrets"
