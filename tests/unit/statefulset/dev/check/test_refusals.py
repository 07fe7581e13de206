from __future__ import annotations

from pathlib import Path

from statefulset.cli.dev.check.refusals import values_in


def test_what_a_sidecar_writes_for_itself_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "..g1").mkdir()
    (tmp_path / "..g1" / "..manifest.json").write_text("{}")
    (tmp_path / "..data").symlink_to("..g1")
    (tmp_path / "..status.json").write_text("{}")
    assert values_in(tmp_path) == []
    (tmp_path / "..g1" / "db").write_text("x")
    assert values_in(tmp_path) == ["db"]
