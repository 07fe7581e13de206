"""The check of locked versions is not green about what was not looked up."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "images" / "audit_deps.py"
GOOD: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.fixture
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_deps", SOURCE)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(
    ("found", "code"),
    [([GOOD], 0), ([GOOD, SKIPPED], 3), ([SKIPPED], 3), ([BAD], 1), ([BAD, SKIPPED], 1), (None, 3), ([], 1)],
)
def test_exit_codes(module: ModuleType, monkeypatch, capsys, found: list[dict[str, Any]] | None, code: int) -> None:
    monkeypatch.setattr(module, "look_up", lambda lock: found)
    assert module.main() == code
    said = capsys.readouterr().out
    assert ("NOT CHECKED" in said) == (found is None or SKIPPED in found)
    assert ("PYSEC-1" in said) == (found is not None and BAD in found)
