"""`safe chaos` on the command line: what is refused before anything starts, and a whole short run of processes."""

from __future__ import annotations

import json

import pytest

from statefulset.cli.__main__ import run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--duration", "soon"], "it is not a duration"),
        (["--duration", "10s", "--interval", "10s"], "at least two intervals"),
        (["--wipe", "--percentage", "100"], "the disks of a majority"),
        (["--percentage", "101"], "101"),
    ],
)
def test_refused_before_anything_starts(capsys, arguments, said):
    assert run(["chaos", "local", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("how", [["--force"], ["--wipe", "--sequence", "serial"]])
def test_a_short_run_passes_and_says_how_to_repeat_it(capsys, how):
    code = run(
        ["chaos", "local", "--duration", "9s", "--interval", "3s", "--workloads", "2", "--seed", "3", "--json", *how]
    )
    found = json.loads(capsys.readouterr().out)
    assert (code, found["wrong"]) == (0, [])
    assert found["kills"] == found["kills_planned"] == 2 and found["deliveries"] > found["writes_acknowledged"]
    assert "--seed=3" in found["again"]
