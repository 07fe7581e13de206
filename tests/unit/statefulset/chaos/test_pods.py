"""`safe chaos pods` against an API server in memory that enforces the rights we say it needs: refusals, clean-up after
everything that can end a run, and verdicts on good runs and on such that were made bad.

The writer is the real process on a real admin API; what readers print is made from what it says. Time is short here: a
second of a plan takes a quarter of one, a second of a grace period a twentieth, and the writer writes the more often.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from statefulset import manifests
from statefulset.chaos import load, place, pods, workloads
from statefulset.chaos.needed import NEEDS, Need
from statefulset.chaos.tally import documents, written
from statefulset.cli import chaos
from statefulset.cli.__main__ import run

from ..cli import conftest as stores
from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster, Document, Refusal
from ..farside.kubelet import Kubelet, admitted, command, process

server, tls = stores.server, stores.tls
"""Fixtures: a store's admin API on HTTPS."""

OWN = "raftsafe-chaos-test"
NODES = ("safe-0", "safe-1", "safe-2")
Harm = Callable[["Machine", Document], None]


def rights(needs: tuple[Need, ...]) -> list[Document]:
    """RBAC of ops/admin: each need where it is needed and nowhere else."""
    spaces = {"store": "raftsafe", "run": OWN, "cluster": ""}
    out: list[Document] = []
    for where, space in spaces.items():
        kind = "Role" if space else "ClusterRole"
        metadata = {"name": where} | ({"namespace": space} if space else {})
        rules = [
            {"apiGroups": [need.group], "resources": [need.resource], "verbs": list(need.verbs)}
            | ({"resourceNames": [need.name]} if need.name else {})
            for need in needs
            if need.where == where
        ]
        subject = {"kind": "ServiceAccount", "namespace": "ops", "name": "admin"}
        reference = {"kind": kind, "name": where}
        out.append({"kind": kind, "metadata": metadata, "rules": rules})
        out.append({"kind": f"{kind}Binding", "metadata": metadata, "subjects": [subject], "roleRef": reference})
    return out


class Shown(threading.Thread):
    """What a reader would print: every write that the writer's log has, 50 ms after it was acknowledged."""

    def __init__(self, machine: Machine, pod: Document, log: Path) -> None:
        super().__init__(daemon=True)
        self._machine, self._name, self._log = machine, pod["metadata"]["name"], log
        _, asked = command(pod)
        self._secrets = asked["pods"][self._name]["secrets"]
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        number = shown = 0
        while not self._over.wait(0.03):
            acks = written(documents(self._machine.log.read_text())).acks
            seen: dict[str, list[tuple[int, float]]] = {}
            for ack in acks[shown:]:
                if ack.secret in self._secrets:
                    seen.setdefault(ack.secret, []).append((ack.number, ack.at + 0.05))
            number, shown = number + 1, len(acks)
            line = {"n": number, "pod": self._name, "at": time.time(), "seen": seen, "violations": [], "violated": 0}
            line |= {"reads": 60 * number, "sweeps": 10 * number, "discarded": 0}
            self._machine.harm(self._machine, line)
            with self._log.open("a") as out:
                out.write(json.dumps(line) + "\n")

    def poll(self) -> int | None:
        return 143 if self._over.is_set() else None

    def terminate(self) -> None:
        self._over.set()

    kill = terminate

    def wait(self, timeout: float | None = None) -> int:
        self.join(timeout)
        return 143


class Machine:
    """`harm`: what becomes of a reader's line. `status`: of pods that do not start. `stays_away`: nodes that were
    killed and do not become ready again. `struck`: called for each node that was ended."""

    def __init__(self, folder: Path, url: str, certificates: Any) -> None:
        self.folder, self._url = folder, url
        certificates.ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        (folder / "store-token").write_text("good-token")
        self.log = folder / "unwritten"
        self.log.touch()
        self.harm: Harm = lambda machine, line: None
        self.status: Document | None = None
        self.stays_away: set[str] = set()
        self.struck: Callable[[str], None] = lambda name: None
        self.ended: list[tuple[str, bool]] = []

    def start_node(self, name: str) -> None:
        while name in self.stays_away:
            time.sleep(0.02)
        time.sleep(0.05)

    def end_node(self, name: str, force: bool) -> None:
        self.ended.append((name, force))
        self.struck(name)

    def start(self, pod: Document, log: Path) -> Any:
        if self.status is not None:
            return self.status
        module, asked = command(pod)
        if module == "statefulset.chaos.reader":
            return Shown(self, pod, log)
        assert module == "statefulset.chaos.writer"
        assert asked["servers"] == [f"https://{node}.safe-peers.raftsafe.svc:8500" for node in NODES]
        asked |= {"servers": [self._url], "ca": str(self.folder / "ca.pem"), "token": str(self.folder / "store-token")}
        asked["tell"] = 0.05
        self.log = log
        return process([sys.executable, "-m", module, json.dumps(asked)], log, {"PATH": os.environ["PATH"]})


class World:
    def __init__(self, api: ApiServer, kubelet: Kubelet, machine: Machine, store: Any) -> None:
        self.api, self.kubelet, self.machine, self.store = api, kubelet, machine, store

    def nothing_left(self) -> bool:
        """No object of the run, no secret of it, no process, and nothing was tried that is not ours to try."""
        found = [each for each in self.api.cluster._objects if OWN in (each[2], each[3])]
        stored = [name for name in ("set", "common", "own-reader-0") if self.store.node.store.get(f"{OWN}/{name}")]
        assert (found, stored, self.kubelet.problems, self.api.cluster.denied) == ([], [], [], [])
        until(lambda: self.kubelet.alive() == [], "no process")
        for plural, name, _ in self.api.deleted:
            assert (plural, name) in {("pods", f"raftsafe/{node}") for node in NODES} or OWN in name, name
        return True


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path, server: Any, tls: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An installation as its manifests have it, three ready nodes, and a kubeconfig of somebody with just the rights."""
    cluster = Cluster(rights(NEEDS))
    api = ApiServer(tmp_path, cluster)
    api.tokens["admin-token"] = "ops/admin"
    api.issued[f"{OWN}/writer"] = "good-token"
    cluster.admission = lambda plural, document: admitted("raftsafe", plural, document)
    for document in manifests.load():
        if document["kind"] == "StatefulSet":
            cluster.put("apps", "statefulsets", document)
        if document["kind"] == "MutatingWebhookConfiguration":
            document["webhooks"][0]["clientConfig"]["caBundle"] = "Zm9v"
            cluster.put("admissionregistration.k8s.io", "mutatingwebhookconfigurations", document)
    published = {"ca.crt": tls.ca.cert_pem.bytes().decode()}
    cluster.put(
        "", "configmaps", {"metadata": {"name": "raftsafe-identity", "namespace": "raftsafe"}, "data": published}
    )
    for node in NODES:
        api.ports[f"raftsafe/{node}", 8500] = int(server.url.rpartition(":")[2])
    machine = Machine(tmp_path, server.url, tls)
    kubelet = Kubelet(api, machine, tmp_path, NODES, "raftsafe", second=0.05)
    kubelet.start()
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig("kubeconfig", {"token": "admin-token"})))
    for name in ("SAFE_SERVER", "SAFE_NAMESPACE", "SAFE_CONTEXT", "SAFE_AS_SERVICEACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(chaos, "mark", lambda: "test")
    monkeypatch.setattr(chaos, "UNITS", {unit: seconds / 4 for unit, seconds in chaos.UNITS.items()})
    monkeypatch.setattr(load, "PERIODS", tuple(period / 4 for period in load.PERIODS))
    monkeypatch.setattr(place, "LOOK", 0.03)
    yield World(api, kubelet, machine, server)
    kubelet.stop()
    api.stop()


SHORT = ["chaos", "pods", "--namespace", "raftsafe", "--duration", "5s", "--interval", "2s", "--workloads", "2"]
YES = [*SHORT, "--seed", "3", "--yes", "--json"]


def report(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Document]:
    code = run([*YES, *more])
    told = capsys.readouterr()
    assert told.out, told.err
    return code, json.loads(told.out)


# -- refused before anything is made ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["chaos", "pods", "--yes"], {}, "--namespace"),
        ([*SHORT, "--yes"], {"SAFE_SERVER": "https://x:8500"}, "SAFE_SERVER is set"),
        (["--context", "safe-dev-viewer", *SHORT, "--yes"], {}, "`safe dev` has no pods"),
        (["-n", "other", *SHORT, "--yes"], {}, "two namespaces are named"),
        (SHORT, {}, "nobody can be asked"),
        ([*SHORT, "--yes", "--interval", "9s"], {}, "at least two intervals"),
        ([*SHORT, "--yes", "--duration", "9h"], {}, "2h at most"),
        ([*SHORT, "--yes"], {"KUBECONFIG": "", "HOME": "/nonexistent"}, "there is no kubeconfig"),
    ],
)
def test_usage(world: World, capsys, monkeypatch, arguments, env, said) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert run(arguments) == 2
    assert said in capsys.readouterr().err
    assert world.nothing_left() and world.api.deleted == []


def test_a_namespace_without_a_store_is_refused(world: World, capsys) -> None:
    world.api.cluster.rights = None
    for name in ("kube-system", "shop"):
        assert run(["chaos", "pods", "--namespace", name, "--yes"]) == 1
        assert f"namespace {name} has no StatefulSet safe of raftsafe" in capsys.readouterr().err
    stranger = {"metadata": {"name": "safe", "namespace": "shop", "labels": {"app": "safe"}}, "spec": {}}
    world.api.cluster.put("apps", "statefulsets", stranger)
    assert run(["chaos", "pods", "--namespace", "shop", "--yes"]) == 1
    assert "no StatefulSet safe of raftsafe" in capsys.readouterr().err
    assert world.api.deleted == []


def test_without_rights_there_the_namespace_is_not_looked_into(world: World, capsys) -> None:
    assert run(["chaos", "pods", "--namespace", "shop", "--yes"]) == 1
    assert "status 403" in capsys.readouterr().err


@pytest.mark.parametrize("number", range(len(NEEDS)), ids=lambda number: NEEDS[number].resource)
def test_each_right_is_needed_and_named(world: World, capsys, number: int) -> None:
    world.api.cluster.rights = rights(NEEDS[:number] + NEEDS[number + 1 :])
    assert run(YES) == 1
    told = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert told["code"] == "forbidden" and (NEEDS[number].resource in told["message"] or "403" in told["message"])
    world.api.cluster.denied.clear()
    assert world.nothing_left() and world.api.deleted == []


def test_a_webhook_that_is_not_in_force(world: World, capsys) -> None:
    key = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "raftsafe")
    document = world.api.cluster.get(key)
    document["webhooks"][0]["clientConfig"]["service"]["namespace"] = "elsewhere"
    world.api.cluster.put(*key[:2], document)
    assert run(YES) == 1 and "not in force for the store in raftsafe" in capsys.readouterr().err
    world.api.cluster.delete(key)
    assert run(YES) == 1 and "not in force" in capsys.readouterr().err
    assert world.nothing_left()


def test_a_majority_without_volumes_is_refused(world: World, capsys) -> None:
    document = world.api.cluster.get(("apps", "statefulsets", "raftsafe", "safe"))
    del document["spec"]["volumeClaimTemplates"]
    world.api.cluster.put("apps", "statefulsets", document)
    assert run([*YES, "--percentage", "67"]) == 2
    assert "emptyDir" in capsys.readouterr().err and world.nothing_left()


def test_a_store_that_is_not_whole(world: World, capsys, monkeypatch) -> None:
    monkeypatch.setattr(pods, "WHOLE", 0.5)
    nodes = lambda: world.api.cluster.list("", "pods", "raftsafe")  # noqa: E731
    until(lambda: len(nodes()) == 3 and all("status" in node for node in nodes()), "nodes that said they are ready")
    world.api.cluster.patch(("", "pods", "raftsafe", "safe-1"), {"status": {"conditions": []}}, "status")
    assert run(YES) == 1
    assert "the store is not whole after 0.5 s: safe-1 not ready" in capsys.readouterr().err
    assert world.nothing_left() and world.api.deleted == []


# -- it cannot be set up ---------------------------------------------------------------------------------------------


def test_somebody_elses_namespace_of_that_name_is_left_alone(world: World, capsys) -> None:
    world.api.cluster.put("", "namespaces", {"metadata": {"name": OWN}})
    assert run(YES) == 1
    assert "is there already" in capsys.readouterr().err
    assert world.api.cluster.read("", "namespaces", "", OWN) is not None and world.api.deleted == []


def test_an_image_that_is_not_there(world: World, capsys, monkeypatch) -> None:
    monkeypatch.setattr(pods, "START", 0.5)
    waiting = {"reason": "ErrImageNeverPull", "message": "Container image is not present"}
    world.machine.status = {"phase": "Pending", "containerStatuses": [{"name": "app", "state": {"waiting": waiting}}]}
    assert run(YES) == 1
    told = capsys.readouterr().err
    assert "the writer cannot put the secrets after 0.5 s: app: ErrImageNeverPull" in told
    assert world.nothing_left()


def test_a_writer_that_the_store_refuses(world: World, capsys, monkeypatch) -> None:
    monkeypatch.setattr(pods, "START", 3.0)
    (world.machine.folder / "store-token").write_text("nobodys-token")
    assert run(YES) == 1
    told = capsys.readouterr().err
    assert "the writer cannot put the secrets" in told and "this is not a token" in told
    assert world.nothing_left()


def test_a_webhook_that_does_not_inject(world: World, capsys) -> None:
    world.api.cluster.admission = lambda plural, document: document
    assert run(YES) == 1
    assert "pod reader-0 was made without a sidecar" in capsys.readouterr().err
    assert world.nothing_left()


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [[], ["--force", "--percentage", "100"]])
def test_a_good_run_passes_and_leaves_nothing(world: World, capsys, how: list[str]) -> None:
    code, found = report(capsys, *how)
    assert (code, found["wrong"]) == (0, [])
    assert found["kills"] == found["kills_planned"] == 1 and found["pods"] == 2 and found["writes_failed"] == 0
    assert 0.04 < found["lag_p50_s"] < 0.06, "as the readers are made to see it"
    assert "--seed=3" in found["again"] and "--namespace=raftsafe" in found["again"]
    assert [force for _, force in world.machine.ended] == ([True] * 3 if how else [False])
    struck = [grace for plural, name, grace in world.api.deleted if name.startswith("raftsafe/")]
    assert struck == ([1] * 3 if how else [None])
    assert world.nothing_left()


def torn(machine: Machine, line: Document) -> None:
    if line["pod"] == "reader-1":
        line["violations"] = [{"kind": "torn", "what": f"{OWN}/set/user: empty"}] if line["n"] == 9 else []
        line["violated"] = int(line["n"] >= 9)


def forgets(machine: Machine, line: Document) -> None:
    if line["pod"] == "reader-1" and line["n"] > 20:
        line["seen"].pop(f"{OWN}/set", None)


def drops_a_line(machine: Machine, line: Document) -> None:
    line["n"] += int(line["n"] > 9)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (torn, f"torn: reader-1: {OWN}/set/user: empty"),
        (forgets, f"reader-1 never showed write [0-9]+ of {OWN}/set"),
        (drops_a_line, "lines of the log of reader-0 are missing"),
    ],
)
def test_a_harm_in_a_readers_log_fails_the_run(world: World, capsys, monkeypatch, harm: Harm, said: str) -> None:
    import re

    if harm is forgets:  # else it is over when all is there
        monkeypatch.setattr(pods, "SETTLE", 0.5)
    world.machine.harm = harm
    code, found = report(capsys)
    assert code == 1 and any(re.search(said, line) for line in found["wrong"]), found["wrong"]
    assert world.nothing_left()


def test_a_store_that_applied_a_write_twice_fails_the_run(world: World, capsys) -> None:
    from node.store import commands

    def again(_: str) -> None:
        node = world.store.node
        node.raft.index += 1
        put = commands.Put(
            rid=b"again".ljust(16), t=1, actor="x", name=f"{OWN}/own-reader-0", fields=(("value", 1),), generation=1,
            write_id=b"w", sealed=b"s", grants=(),
        )  # fmt: skip
        node.store.apply(node.raft.index, commands.encode(put))

    world.machine.struck = again
    code, found = report(capsys)
    assert code == 1 and any("became version" in line or "acknowledged of" in line for line in found["wrong"])
    assert world.nothing_left()


def test_what_nodes_do_by_themselves_fails_the_run(world: World, capsys) -> None:
    """The next node in the row restarts whenever one is struck."""

    def restarts(name: str) -> None:
        other = NODES[(NODES.index(name) + 1) % 3]
        status = {"containerStatuses": [{"name": "node", "restartCount": 1, "state": {"running": {}}}]}
        world.api.cluster.patch(("", "pods", "raftsafe", other), {"status": status}, "status")

    world.machine.struck = restarts
    code, found = report(capsys)
    assert code == 1 and [line for line in found["wrong"] if "restarted by itself" in line], found["wrong"]
    assert world.nothing_left()


def test_a_node_that_does_not_come_back_ends_the_run(world: World, capsys, monkeypatch) -> None:
    monkeypatch.setattr(pods, "BACK", 0.5)
    world.machine.struck = world.machine.stays_away.add
    code, found = report(capsys, "--duration", "8s")
    assert code == 1 and any("not ready 0.5 s after" in line for line in found["wrong"]), found["wrong"]
    assert found["kills"] == 1, "no more are killed then"
    world.machine.stays_away.clear()
    assert world.nothing_left()


def test_a_writer_that_dies_ends_the_run(world: World, capsys) -> None:
    def dies(_: str) -> None:
        for each in world.kubelet.alive():
            if not isinstance(each, Shown):
                each.kill()

    world.machine.struck = dies
    code, found = report(capsys)
    assert code == 1 and any("pod writer ended (Failed)" in line for line in found["wrong"]), found["wrong"]
    assert world.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_run_leaves_nothing(world: World, number: int) -> None:
    world.machine.struck = lambda _: os.kill(os.getpid(), number)
    began = time.monotonic()
    assert run([*YES, "--duration", "240s"]) == 128 + number
    assert time.monotonic() - began < 50, "it did not go on"
    assert world.nothing_left()
    assert [name for plural, name, _ in world.api.deleted if plural == "namespaces"] == [f"/{OWN}"]


def test_an_api_server_that_is_away_for_a_moment_is_waited_for(world: World, capsys) -> None:
    def away(_: str) -> None:
        world.api.away = True
        threading.Timer(0.4, setattr, (world.api, "away", False)).start()

    world.machine.struck = away
    code, found = report(capsys)
    assert (code, found["wrong"]) == (0, [])
    assert world.nothing_left()


def test_an_answer_that_is_lost_makes_nothing_twice_and_deletes_nothing_twice(
    world: World, capsys, monkeypatch
) -> None:
    """The namespace is made and the first pod deleted, and the API server says 503 both times: asked again, it must find
    our own namespace, and must not take the pod that came after."""
    answer, lost = world.api.answer, {"POST /api/v1/namespaces", "DELETE /api/v1/namespaces/raftsafe/pods/"}

    def wait_for_the_next(old: Document) -> None:
        pod = ("", "pods", "raftsafe", old["metadata"]["name"])
        until(lambda: (world.api.cluster.read(*pod) or old)["metadata"]["uid"] != old["metadata"]["uid"], "the next")

    def loses(method: str, target: str, *rest: Any) -> Any:
        found = answer(method, target, *rest)
        for each in [each for each in lost if f"{method} {target}".startswith(each)]:
            lost.discard(each)
            if method == "DELETE":
                wait_for_the_next(found)
            raise Refusal(503)
        return found

    monkeypatch.setattr(world.api, "answer", loses)
    code, found = report(capsys)
    assert (code, found["wrong"], lost) == (0, [], set())
    assert len(world.machine.ended) == found["kills"] == 1
    assert world.nothing_left()


def test_what_cannot_be_removed_is_said_with_the_remedy(world: World, capsys, monkeypatch) -> None:
    for module, name in ((pods, "STRIKE"), (pods, "BACK"), (pods, "SETTLE"), (workloads, "GRACE"), (place, "GONE")):
        monkeypatch.setattr(module, name, 0.2)
    world.machine.struck = lambda _: setattr(world.api, "away", True)
    code, found = report(capsys)
    assert code == 1
    for said in (
        "last words did not come",
        "left behind: pods of",
        f"safe purge {OWN}/set",
        f"kubectl delete namespace {OWN}",
    ):
        assert any(said in line for line in found["wrong"]), (said, found["wrong"])
