"""The init container as a real process against an API in memory: first starts, losses, and everything in between."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from statefulset.identity import start
from statefulset.identity.decide import FILES


class Pod:
    """One pod: its memory, its volume, and its init container."""

    def __init__(self, api, memory: Path, name: str) -> None:
        self.run_dir, self.data = memory / name, memory / f"{name}.volume" / "node"
        self.run_dir.mkdir()
        self.data.parent.mkdir()
        self.env = api.env | {"SAFE_DATA_DIR": str(self.data), "SAFE_IDENTITY_DIR": str(self.run_dir / "identity")}

    def popen(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "statefulset", "identity"]
        return subprocess.Popen(command, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def start(self) -> tuple[int, str]:
        with self.popen() as process:
            out, err = process.communicate(timeout=120)
        assert out == ""
        return process.returncode, err

    def works(self) -> None:
        """The node has run: there is something on its volume."""
        self.data.mkdir(exist_ok=True)
        (self.data / "wal").write_bytes(b"x")

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.run_dir / "identity").iterdir()}


@pytest.fixture
def pods(api, memory):
    return [Pod(api, memory, f"safe-{i}") for i in range(3)]


def test_three_pods_at_once_make_one_identity(api, pods):

    def let_the_rest_pass() -> None:
        """All three have seen that there is none before the first is heard."""
        api.barrier = None

    api.barrier = threading.Barrier(3, let_the_rest_pass)
    processes = [pod.popen() for pod in pods]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert pods[0].files == pods[1].files == pods[2].files and set(pods[0].files) == set(FILES)
    assert sum("made the identity of the store" in each for each in errors) == 1
    assert sum("another pod made the identity first" in each for each in errors) == 2
    assert api.cluster.denied == []
    mark = api.objects["configmaps", "raftsafe-identity"]["data"]
    assert mark["ca.crt"].encode() == pods[0].files["server-ca.crt"]
    key = pods[0].files["root.key"]
    assert not any(text in each for each in errors for text in (key.hex(), repr(key), "PRIVATE"))


def test_a_pod_that_comes_again_gets_the_same_and_makes_nothing(api, pods):
    assert pods[0].start()[0] == 0
    before = dict(api.objects)
    pods[0].works()
    first = pods[0].files
    assert pods[0].start()[0] == 0
    assert pods[0].files == first and api.objects == before
    assert [method for method, _ in api.asked].count("POST") == 2


def test_a_lost_secret_stops_every_pod_and_comes_back_with_the_copy(api, pods):
    for pod in pods:
        assert pod.start()[0] == 0
    pods[0].works()
    copy = api.objects.pop(("secrets", "raftsafe-identity"))
    for pod in pods:  # also those whose volume is new
        code, err = pod.start()
        assert code == start.REFUSED
        assert "the Secret raftsafe-identity is gone" in err and "kubectl -n raftsafe apply -f COPY" in err
    assert ("secrets", "raftsafe-identity") not in api.objects
    api.objects["secrets", "raftsafe-identity"] = copy
    assert [pod.start()[0] for pod in pods] == [0, 0, 0]


def test_a_volume_with_data_is_enough_to_make_nothing(api, pods):
    """A namespace made anew over volumes that were kept: neither Secret nor ConfigMap."""
    pods[0].works()
    code, err = pods[0].start()
    assert code == start.REFUSED and "volume holds data that needs it" in err
    assert api.objects == {}


def test_another_secret_under_the_same_name_is_not_used(api, pods):
    pods[0].start()
    mark = api.objects.pop(("configmaps", "raftsafe-identity"))
    api.objects.clear()
    pods[1].start()
    api.objects["configmaps", "raftsafe-identity"] = mark
    code, err = pods[2].start()
    assert code == start.REFUSED and "the store was made with root key" in err
    assert not (pods[2].run_dir / "identity").exists()


def test_a_crash_between_the_two_creations_is_finished_by_the_next(api, pods):
    assert pods[0].start()[0] == 0
    del api.objects["configmaps", "raftsafe-identity"]
    pods[0].works()
    assert pods[0].start()[0] == 0
    assert ("configmaps", "raftsafe-identity") in api.objects


def test_an_api_server_that_is_away_is_waited_for(api, pods):
    api.failing = [503, 429, 500]
    code, err = pods[0].start()
    assert code == 0 and err.count("the API server answered with status") == 3


def test_patience_ends(api, pods):
    api.failing = [503] * 1000
    pauses: list[float] = []
    assert start.run(pods[0].env, pauses.append) == start.AWAY
    assert sum(pauses) == pytest.approx(start.PATIENCE, abs=2 * start.PAUSE)


def test_rights_that_are_missing_are_named(api, pods):
    api.failing = [403]
    code, err = pods[0].start()
    assert code == start.REFUSED and "refused with status 403" in err and "service account safe-node" in err


def test_a_disk_is_no_place_for_an_identity(api, pods, tmp_path):
    pods[0].env["SAFE_IDENTITY_DIR"] = "/usr/identity"
    code, err = pods[0].start()
    assert code == start.REFUSED and "not in memory" in err and api.asked == []


def test_missing_settings_are_one_line(api, pods):
    del pods[0].env["SAFE_DATA_DIR"]
    code, text = pods[0].start()
    said = [line for line in text.splitlines() if "not available here: mlockall" not in line]  # depends on the limit
    assert (code, said) == (start.REFUSED, ["safe-control: SAFE_DATA_DIR is not set; see statefulset/DESIGN.md"])
