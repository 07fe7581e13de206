"""The three images, built from a base image that is made here, and containers that run them as a cluster would.

Needs root on Debian: installs buildah and debootstrap if they are not there. RAFTSAFE_BASE names another base image.
A container here is a mount namespace: the image's file system read-only, memory where the manifests have it, no root.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "statefulset" / "images"
NAMES = ("node", "sidecar", "control")
USER = 65532

ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
for place in dev proc; do mount --rbind "/$place" "$root/$place"; done
for place in $MEMORY; do mount -t tmpfs -o mode=0777,size=64m tmpfs "$root$place"; done
for pair in $BINDS; do mount --bind "${pair%%:*}" "$root${pair#*:}"; done
mount -o remount,bind,ro "$root"
unset MEMORY BINDS
exec chroot --userspec=65532:65532 --groups=65532 "$root" "$@"
"""


def _unit_conftest() -> ModuleType:
    """As a package, for it imports the modules beside it."""
    folder = ROOT / "tests" / "unit" / "statefulset"
    package = ModuleType("api_standin")
    package.__path__ = [str(folder)]
    sys.modules["api_standin"] = package
    return importlib.import_module("api_standin.conftest")


def sh(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


class Image:
    """One built image, mounted. `root`: its file system."""

    def __init__(self, name: str, reference: str) -> None:
        self.name, self.reference = name, reference
        self.container = sh("buildah", "from", reference)
        self.root = Path(sh("buildah", "mount", self.container))
        document = json.loads(sh("buildah", "inspect", "--type", "image", reference))["OCIv1"]
        self.config, self.layers = document["config"], document["rootfs"]["diff_ids"]

    def drop(self) -> None:
        sh("buildah", "rm", self.container)

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(path.lstat().st_size for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())

    def popen(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        memory: tuple[str, ...] = (),
        binds: dict[str, str] | None = None,
        entrypoint: list[str] | None = None,
    ) -> subprocess.Popen[str]:
        """The image's entry point, or another program in it, as the kubelet would start it."""
        for place in (*memory, *(binds or {}).values()):
            (self.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)  # a runtime makes them too
        variables = dict(each.split("=", 1) for each in self.config["Env"])
        program = [*(entrypoint or self.config["Entrypoint"]), *arguments]
        path = shutil.which(program[0], path=":".join(f"{self.root}{each}" for each in variables["PATH"].split(":")))
        assert path is not None, f"{program[0]} is not in the image"
        program[0] = path.removeprefix(str(self.root))
        variables |= {
            "MEMORY": " ".join(memory),
            "BINDS": " ".join(f"{source}:{target}" for source, target in (binds or {}).items()),
        } | (env or {})
        command = ["unshare", "--mount", "--propagation", "private", "/bin/bash", "-c", ENTER, "enter", str(self.root)]
        return subprocess.Popen(
            [*command, *program],
            env=variables | {"PATH": variables["PATH"] + ":/usr/sbin:/sbin"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        with self.popen(*arguments, **options) as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture(scope="session")
def tools() -> None:
    if os.getuid() != 0:
        raise AssertionError("tox run -e images needs root: it makes a base image and mounts what it builds")
    if missing := [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]:
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        sh("apt-get", "update", "-qq", **quiet)
        sh("apt-get", "install", "-qy", "--no-install-recommends", *missing, **quiet)


@pytest.fixture(scope="session")
def images(tools: None) -> Iterator[dict[str, Image]]:
    base = os.environ.get("RAFTSAFE_BASE", "localhost/raftsafe/base:bookworm")
    if "RAFTSAFE_BASE" not in os.environ:
        sh(str(IMAGES / "base"), base)
    authority = ["-c", os.environ["PIP_CERT"]] if os.environ.get("PIP_CERT") else []
    references = sh(str(IMAGES / "build"), "-b", base, *authority).splitlines()
    built = {name: Image(name, reference) for name, reference in zip(NAMES, references, strict=True)}
    yield built
    for image in built.values():
        image.drop()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Any]:
    """The API server in memory of the unit tests."""
    tmp_path.chmod(0o755)
    running = _unit_conftest().Api(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def started() -> Iterator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """Processes that must not outlive their test."""
    running: list[subprocess.Popen[str]] = []

    def keep(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        running.append(process)
        return process

    yield keep
    for process in running:
        process.kill()
        process.communicate()
