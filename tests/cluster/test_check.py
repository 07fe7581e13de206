"""`safe dev --check` is the whole list of promises in one command, so it is run as one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from statefulset.cli.dev import folders, programs


def test_the_check_holds_on_this_machine(memory: Path) -> None:
    done = subprocess.run(
        [*programs.command("safe"), "dev", "--check", "--json"],
        env=programs.clean(os.environ) | {folders.CHOSEN: str(memory)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert [step["step"] for step in told["steps"]] == ["start", "a", "b", "c", "d", "e", "f", "g", "end"]
    assert all(step["ok"] for step in told["steps"])
    figures = {step["step"]: step for step in told["steps"]}
    assert figures["b"]["rounds"] == 20
    assert figures["c"]["kill_to_ack_ms"] > 0
    assert figures["g"]["sidecar_kib"] > 0
    assert list(memory.iterdir()) == []
