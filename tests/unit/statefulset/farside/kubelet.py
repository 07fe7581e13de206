"""What a StatefulSet's controller, an admission webhook and kubelets do with pods, as far as deleting them shows it.

Why it exists: whoever deletes pods has to be tried against pods that take their time to end, come back by themselves with
another uid, keep their log only as long as they are there, and get SIGTERM first and SIGKILL when their time is up.
What it refuses to do: run images. What a pod's command stands for is said by the test (`Machine`).

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import jsonpatch

from statefulset.injector.admission import review
from statefulset.injector.patch import Injector

from .apiserver import ApiServer
from .cluster import Document, Refusal

FINALIZER = "farside/kubelet"
LABELS = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/component": "node"}
INJECTOR = Injector("localhost/raftsafe/sidecar:0.1.0", "safe-delivery.raftsafe.svc:8400")
TURN = 0.02
"""Seconds between two looks: what a process does is not told."""


class Running(Protocol):
    """As subprocess.Popen."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Machine(Protocol):
    """`start_node` returns when it is ready, `end_node` when it has ended. `start`: what a pod's container does, with its
    output to `log`, or the status of one that cannot be started."""

    def start_node(self, name: str) -> None: ...
    def end_node(self, name: str, force: bool) -> None: ...
    def start(self, pod: Document, log: Path) -> Running | Document: ...


def admitted(namespace: str, plural: str, document: Document) -> Document:
    """With the real injector's patch; and held until the kubelet lets go of it."""
    if plural != "pods" or document["metadata"].get("namespace") == namespace:
        return document
    document["metadata"]["finalizers"] = [FINALIZER]
    request = {
        "uid": "1",
        "kind": {"kind": "Pod"},
        "operation": "CREATE",
        "namespace": document["metadata"]["namespace"],
        "object": document,
    }
    answer = review({"apiVersion": "admission.k8s.io/v1", "request": request}, INJECTOR, namespace)["response"]
    if not answer["allowed"]:
        raise Refusal(answer["status"]["code"], answer["status"]["message"])
    if "patch" not in answer:
        return document
    patched: Document = jsonpatch.apply_patch(document, json.loads(base64.b64decode(answer["patch"])))
    return patched


HANDED_OVER = 3
"""Seconds of grace in which a node is taken to do all it does when it is told to stop; with less it is killed."""


class Kubelet:
    """Runs in a thread from `start` to `stop`. `nodes`: names of the store's pods, which come back by themselves.
    `second`: how many seconds one of a grace period takes."""

    def __init__(
        self,
        api: ApiServer,
        machine: Machine,
        folder: Path,
        nodes: tuple[str, ...],
        namespace: str,
        second: float = 1.0,
    ) -> None:
        self.nodes, self.namespace, self._second = nodes, namespace, second
        self._api, self._cluster, self._machine, self._folder = api, api.cluster, machine, folder
        self._running: dict[str, Running | None] = {}
        self._ending: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.problems: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(60)
        for each in self._running.values():
            if each is not None and each.poll() is None:
                each.kill()
                each.wait(30)

    def alive(self) -> list[Running]:
        return [each for each in self._running.values() if each is not None and each.poll() is None]

    def _run(self) -> None:
        while not self._ended.wait(TURN):
            there = {each["metadata"]["name"] for each in self._cluster.list("", "pods", self.namespace)}
            for name in set(self.nodes) - there:
                metadata = {"name": name, "namespace": self.namespace, "labels": LABELS, "finalizers": [FINALIZER]}
                self._cluster.put("", "pods", {"metadata": metadata})
            pods = self._cluster.list("", "pods", "")
            for pod in pods:
                self._turn(pod)
            for uid in set(self._running) - {pod["metadata"]["uid"] for pod in pods}:
                if (running := self._running.pop(uid)) is not None:
                    running.kill()

    def _turn(self, pod: Document) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        ours = pod["metadata"]["namespace"] == self.namespace
        if uid not in self._running:
            self._running[uid] = None
            if ours:
                self._aside(self._begin_node, name)
            else:
                self._begin(pod)
        elif pod["metadata"].get("deletionTimestamp") and uid not in self._ending:
            self._ending.add(uid)
            self._aside(self._end_node if ours else self._end, pod)
        elif not ours and uid not in self._ending:
            running = self._running[uid]
            if running is not None and running.poll() is not None:
                state = {"terminated": {"reason": "Error", "exitCode": running.poll()}}
                self._say(pod, {"phase": "Failed", "containerStatuses": [{"name": "app", "state": state}]})

    def _aside(self, function: Any, argument: Any) -> None:
        def run() -> None:
            try:
                function(argument)
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")

        threading.Thread(target=run, daemon=True).start()

    def _say(self, pod: Document, status: Document) -> None:
        key = ("", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        with contextlib.suppress(Refusal):
            self._cluster.patch(key, {"status": status}, "status")

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _begin_node(self, name: str) -> None:
        self._machine.start_node(name)
        pod = {"metadata": {"name": name, "namespace": self.namespace}}
        status = {"name": "node", "restartCount": 0, "state": {"running": {}}}
        self._say(pod, {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [status]})

    def _end_node(self, pod: Document) -> None:
        self._machine.end_node(pod["metadata"]["name"], self._grace(pod, 30) < HANDED_OVER)
        self._let_go(pod)

    def _grace(self, pod: Document, usual: int) -> int:
        """The last that was asked for. Of 0 a kubelet never hears, since the pod is gone then: it gives the usual one."""
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        asked = [grace for plural, each, grace in list(self._api.deleted) if (plural, each) == ("pods", name)]
        return (asked[-1] if asked else None) or usual

    def _let_go(self, pod: Document) -> None:
        key = ("", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        with contextlib.suppress(Refusal):
            self._cluster.patch(key, {"metadata": {"finalizers": None}})

    # -- other pods --------------------------------------------------------------------------------------------------

    def _begin(self, pod: Document) -> None:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        log = self._folder / f"{pod['metadata']['uid']}.log"
        log.touch()
        found = self._machine.start(pod, log)
        if isinstance(found, dict):
            self._say(pod, found)
            return
        self._running[pod["metadata"]["uid"]] = found
        self._api.logs[name] = log
        self._say(pod, {"phase": "Running"})

    def _end(self, pod: Document) -> None:
        running = self._running[pod["metadata"]["uid"]]
        if running is not None:
            began = time.monotonic()
            running.terminate()
            while running.poll() is None:
                given = self._grace(pod, pod["spec"]["terminationGracePeriodSeconds"])
                if time.monotonic() - began > given * self._second:
                    running.kill()
                time.sleep(TURN)
        self._api.logs.pop(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}", None)
        self._let_go(pod)


def command(pod: Document) -> tuple[str, Any]:
    """Module and argument of a pod of ours."""
    python, option, module, asked = pod["spec"]["containers"][0]["command"]
    assert (python, option) == ("python3", "-m")
    return module, json.loads(asked)


def process(argv: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
