"""The reading process on a real mount, and what is put together from its lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from statefulset.chaos import marks
from statefulset.chaos.tally import Tally, documents, tallies

PATIENCE = 60.0


def place(mount: Path, number: int, **other: int) -> None:
    """As a sidecar does: a new generation, then one rename."""
    folder = mount / f"..{number}-{len(other)}"
    (folder / "set").mkdir(parents=True)
    for field in ("user", "password"):
        data = marks.content(f"demo/set/{field}", other.get(field, number))
        (folder / "set" / field).write_bytes(data)
    os.symlink(folder.name, mount / "..new")
    os.rename(mount / "..new", mount / "..data")
    if not (mount / "set").is_symlink():
        os.symlink("..data/set", mount / "set")


def until(log: Path, condition, what: str) -> Tally:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = tallies(documents(log.read_text())).get("web", Tally())
        if condition(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen: {what}")


def start(mount: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    told = {"pods": {"web": {"mount": str(mount), "secrets": {"demo/set": ["user", "password"]}}}}
    command = [sys.executable, "-m", "statefulset.chaos.reader", json.dumps(told)]
    return subprocess.Popen(command, stdout=log)


def test_it_says_what_is_new_and_what_is_wrong(tmp_path: Path) -> None:
    mount, log = tmp_path / "mount", tmp_path / "log"
    mount.mkdir()
    with log.open("wb") as out, start(mount, out) as process:
        try:
            place(mount, 1)
            until(log, lambda seen: seen.has({"demo/set": 1}) and seen.seen, "the first write")
            place(mount, 2)
            until(log, lambda seen: seen.seen["demo/set"][-1][0] == 2, "the second")
            place(mount, 3, user=2)
            found = until(log, lambda seen: seen.violations, "a mixed set")
            assert found.violations[0]["kind"] == "mixed"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    (found,) = tallies(documents(log.read_text())).values()
    assert [number for number, _ in found.seen["demo/set"]] == [1, 2]
    assert found.sweeps > 1 and found.reads > 2 and found.violated >= 1


def test_lines_that_are_cut_off_or_strange_are_passed_over() -> None:
    assert documents('warning: x\n{"a": 1}\n[2]\n{"pod": "web", "se') == [{"a": 1}]


def test_a_pod_that_lacks_the_newest_is_not_done() -> None:
    tally = Tally({"demo/set": [(1, 1.0), (2, 2.0)]})
    assert tally.has({"demo/set": 2}) and tally.has({"demo/other": 9}) and not tally.has({"demo/set": 3})
