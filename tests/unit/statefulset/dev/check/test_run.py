from __future__ import annotations

import json

import pytest

from statefulset.cli.dev.check.context import Failed, Passed, ms
from statefulset.cli.dev.check.run import Log
from statefulset.cli.dev.harness import Options


def test_lines_go_to_people_and_figures_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(as_json=True)
    log.passed("a", Passed("it held", {"rounds": 3}), 1.25)
    log.failed("b", "the second", "this", "that")
    log.end(False, Options(nodes=5), True)
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["ok"] is False
    assert told["nodes"] == 5
    assert told["steps"] == [
        {"step": "a", "ok": True, "seconds": 1.25, "rounds": 3},
        {"step": "b", "ok": False, "expected": "this", "seen": "that"},
    ]
    assert "it held" in err
    assert "expected: this" in err
    assert "FAILED" in err


def test_without_json_everything_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(as_json=False)
    log.passed("a", Passed("it held"), 0)
    log.end(True, Options(), False)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0].startswith("ok    a      it held")
    assert out.splitlines()[1].startswith("all steps hold")


def test_a_time_before_the_beginning_counts_as_none() -> None:
    assert ms(-0.5) == 0
    assert ms(0.00123456) == 1.23


def test_a_failure_says_both_sides() -> None:
    assert str(Failed("this", "that")) == "expected this; seen: that"
