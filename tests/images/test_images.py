"""What is in the images, what they say of themselves, and that they run read-only and without root."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

NAMES = ("node", "sidecar", "control")
MIB = 1 << 20


def packages(image) -> set[str]:
    (folder,) = image.root.glob("opt/raftsafe/lib/python3*/site-packages")
    return {path.name for path in folder.iterdir() if path.is_dir() and not path.name.endswith(".dist-info")}


def test_the_sizes_are_told(images):
    for name in NAMES:
        ours = sum(p.lstat().st_size for p in (images[name].root / "opt/raftsafe").rglob("*") if p.is_file())
        print(f"\n{name}: {images[name].size / MIB:.0f} MiB, of which raftsafe and its packages {ours / MIB:.0f} MiB")
    assert images["sidecar"].size < 200 * MIB
    ours = sum(p.lstat().st_size for p in (images["sidecar"].root / "opt/raftsafe").rglob("*") if p.is_file())
    assert ours < 40 * MIB, "what every pod carries"


def test_base_and_python_are_one_layer_each_for_all(images):
    assert len({tuple(image.layers[:2]) for image in images.values()}) == 1
    assert {len(image.layers) for image in images.values()} == {3}


@pytest.mark.parametrize("name", NAMES)
def test_what_an_image_says_of_itself(images, name):
    config = images[name].config
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"][0].startswith("safe-") and "/bin/sh" not in config["Entrypoint"]
    assert not config.get("Cmd")
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"raftsafe {name}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_to_compile_or_to_install(images, name):
    (folder,) = images[name].root.glob("opt/raftsafe/lib/python3*/site-packages")
    sources = [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]
    bare = [
        path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))
    ]  # fmt: skip
    assert sources and bare == []
    assert not {"pip", "setuptools"} & packages(images[name])


def test_the_sidecar_has_only_the_sidecar(images):
    assert packages(images["sidecar"]) == {"sidecar", "msgpack", "uvloop", "jinja2", "markupsafe"}
    programs = {path.name for path in (images["sidecar"].root / "opt/raftsafe/bin").iterdir()}
    assert {each for each in programs if each.startswith("safe")} == {"safe-sidecar"}


@pytest.mark.parametrize(
    ("name", "program", "arguments", "code", "words"),
    [
        ("node", None, ["--help"], 0, "Runs one node"),
        ("node", None, [], 70, "SAFE_NAME is not set"),
        ("node", ["safe"], ["--version"], 0, "safe 0."),
        ("node", ["safe"], ["install", "--review"], 0, "StatefulSet"),
        ("node", ["safe-control"], ["--version"], 0, "safe-control 0."),
        ("control", None, ["--version"], 0, "safe-control 0."),
        ("control", ["safe-control"], ["run"], 70, "SAFE_SIDECAR_IMAGE"),
        ("control", ["safe-node"], ["serving-certificate", "--help"], 0, "serving-certificate"),
        ("sidecar", None, ["--help"], 0, "usage: safe-sidecar"),
    ],
)
def test_it_runs_read_only_and_without_root(images, name, program, arguments, code, words):
    returned, out, err = images[name].run(*arguments, entrypoint=program)
    assert (returned, words in out + err) == (code, True), out + err


def test_the_containers_here_are_what_they_claim_to_be(images):
    code = "import os; print(os.getuid(), os.getgroups()); open('/opt/x', 'w')"
    returned, out, err = images["node"].run("-c", code, entrypoint=["python"])
    assert returned == 1 and out == "65532 [65532]\n" and "Read-only file system" in err


def test_the_sidecar_checks_its_target(images):
    options = {"env": {"SAFE_TARGET": "/secrets"}, "memory": ("/secrets",)}
    assert images["sidecar"].run("check", **options) == (
        1, "", "safe-sidecar: the first set of secrets is not in place yet\n",
    )  # fmt: skip


def ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    numbers = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return numbers


def status(port: int, ca: str) -> int:
    context = ssl.create_default_context(cadata=ca)
    try:
        with urllib.request.urlopen(f"https://localhost:{port}/readyz", timeout=5, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def resident(process: subprocess.Popen[str]) -> int:
    """Bytes."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


def test_three_pods_start_from_nothing_and_become_a_cluster(images, api, tmp_path, started):
    """Init container and node of each pod, in the image: identity from the API in memory, then a quorum."""
    (api.folder / "ca.crt").chmod(0o644)
    addresses = ports(9)
    peers = ",".join(f"safe-{i}=127.0.0.1:{addresses[3 * i]}" for i in range(3))
    pods = []
    for i in range(3):
        memory, volume = Path(f"/dev/shm/raftsafe-images-{os.getpid()}-{i}"), tmp_path / f"volume-{i}"
        memory.mkdir()
        volume.mkdir()
        for place in (memory, volume):
            os.chown(place, 65532, 65532)
        env = api.env | {
            "SAFE_ACCOUNT_DIR": "/account",
            "SAFE_NAME": f"safe-{i}",
            "SAFE_PEERS": peers,
            "SAFE_DATA_DIR": "/var/lib/raftsafe/node",
            "SAFE_IDENTITY_DIR": "/run/raftsafe/identity",
            "SAFE_ISSUER": "https://127.0.0.1:1",
            "SAFE_API_CA": "/account/ca.crt",
            "SAFE_API_TOKEN_FILE": "/account/token",
            "SAFE_PEER_LISTEN": f"127.0.0.1:{addresses[3 * i]}",
            "SAFE_DELIVERY_LISTEN": f"127.0.0.1:{addresses[3 * i + 1]}",
            "SAFE_ADMIN_LISTEN": f"127.0.0.1:{addresses[3 * i + 2]}",
        }
        binds = {str(memory): "/run/raftsafe", str(volume): "/var/lib/raftsafe", str(api.folder): "/account"}
        pods.append((env, binds, memory))
    try:
        node = images["node"]
        first = [
            started(node.popen("identity", entrypoint=["safe-control"], env=env, binds=binds)) for env, binds, _ in pods
        ]
        errors = [process.communicate(timeout=120)[1] for process in first]
        assert [process.returncode for process in first] == [0, 0, 0], errors
        nodes = [started(node.popen(env=env, binds=binds)) for env, binds, _ in pods]
        ca = api.objects["configmaps", "raftsafe-identity"]["data"]["ca.crt"]
        deadline = time.monotonic() + 120
        while [status(addresses[3 * i + 2], ca) for i in range(3)] != [200] * 3:
            assert time.monotonic() < deadline
            ended = [each.communicate()[1] for each in nodes if each.poll() is not None]
            assert not ended, ended
            time.sleep(0.2)
        print("\nidle nodes, resident:", ", ".join(f"{resident(each) / MIB:.0f} MiB" for each in nodes))
        for each in nodes:
            each.terminate()
        outputs = [each.communicate(timeout=60) for each in nodes]
        assert [each.returncode for each in nodes] == [0, 0, 0], outputs
        key = json.dumps(api.objects["secrets", "raftsafe-identity"]["data"]["root.key"])
        assert not any(key.strip('"') in text for pair in outputs for text in pair)
    finally:
        for _, _, memory in pods:
            subprocess.run(["rm", "-rf", str(memory)], check=True)
