"""That the locks hold what the code imports, and nothing without a hash."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "statefulset" / "images"
OURS = {"node", "sidecar", "statefulset"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"sidecar": ("template",), "node": ("node", "control", "cli"), "control": ("node", "control")}


def locked(name: str) -> dict[str, str]:
    """Package -> version."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (IMAGES / f"{name}.lock").read_text(), re.M)
    return {canonicalize_name(package): version for package, version in lines}


def required(*extras: str) -> list[Requirement]:
    wanted = [Requirement(each) for each in PROJECT["dependencies"]]
    return wanted + [Requirement(each) for extra in extras for each in PROJECT["optional-dependencies"][extra]]


def imported(*folders: str) -> set[str]:
    """Distributions that the sources in `folders` import from outside, at the top of a file or anywhere else."""
    modules: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.Import):
                modules |= {each.name.partition(".")[0] for each in item.names}
            elif isinstance(item, ast.ImportFrom) and not item.level and item.module:
                modules.add(item.module.partition(".")[0])
    found = packages_distributions()
    foreign = modules - OURS - set(sys.stdlib_module_names)
    return {canonicalize_name(found[module][0]) for module in foreign}


@pytest.mark.parametrize("name", [*EXTRAS, "build"])
def test_every_package_comes_by_version_and_hash(name):
    entries = re.split(r"\n(?=\S)", (IMAGES / f"{name}.lock").read_text().strip())
    assert len(entries) == len(locked(name)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_satisfies_what_the_project_asks_for(name):
    held = locked(name)
    for requirement in required(*EXTRAS[name]):
        version = held.get(canonicalize_name(requirement.name))
        assert version is not None and version in requirement.specifier, f"{requirement}: run tox -e locks"


def test_the_sidecar_carries_two_packages_and_the_engine_of_templates():
    assert set(locked("sidecar")) == {"msgpack", "uvloop", "jinja2", "markupsafe"}


@pytest.mark.parametrize(
    ("extras", "folders"),
    [
        (("node",), ("node",)),
        (("control",), ("statefulset/kube", "statefulset/identity")),
        (("node", "cli", "control", "template", "dev"), ("statefulset", "sidecar")),
    ],
)
def test_an_extra_names_all_that_its_code_imports(extras, folders):
    named = {canonicalize_name(each.name) for each in required(*extras)}
    # urllib3 comes with kubernetes and is imported for its exceptions only.
    assert imported(*folders) - {"urllib3"} <= named


ONLY = """
import importlib, sys
from importlib.metadata import packages_distributions
held = set(sys.argv[2:])
foreign = {
    module for module, packages in packages_distributions().items()
    if not held & {each.lower().replace("_", "-").replace(".", "-") for each in packages}
}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in foreign and name.partition(".")[0] not in OURS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
OURS = {"node", "sidecar", "statefulset"}
sys.meta_path.insert(0, Missing())
for name in sys.argv[1].split(","):
    importlib.import_module(name)
"""


@pytest.mark.parametrize(
    ("image", "modules"),
    [
        ("control", "statefulset.__main__,statefulset.controller.run,statefulset.identity.start"),
        ("node", "node.app,statefulset.identity.start,statefulset.cli.__main__,statefulset.cli.secret"),
        ("sidecar", "sidecar.__main__,sidecar.client,sidecar.renderer"),
    ],
)
def test_what_an_image_runs_can_be_imported_with_what_is_locked_for_it(image, modules):
    command = [sys.executable, "-c", ONLY, modules, *locked(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-600:]
