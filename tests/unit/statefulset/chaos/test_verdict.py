"""Made-up runs: a clean one passes, and each thing that can be wrong with it is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from statefulset.chaos.history import Ack
from statefulset.chaos.tally import Tally
from statefulset.chaos.text import lines
from statefulset.chaos.verdict import Run, judge


def clean() -> Run:
    """Twenty seconds, a write a second, each in place 0.1 s later in two pods, two kills."""
    run = Run(7, 100.0, 120.0, planned=2, kills=[(105.0, ("safe-1",)), (110.0, ("safe-0", "safe-2"))])
    run.acks = [Ack("demo/set", number, number, 99.9 + number, 100.0 + number) for number in range(1, 20)]
    run.tried = run.final = {"demo/set": 19}
    seen = [(number, 100.1 + number) for number in range(1, 20)]
    run.tallies = {pod: Tally({"demo/set": list(seen)}, reads=4000, sweeps=1000) for pod in ("a", "b")}
    return run


def test_a_clean_run_passes_with_its_figures() -> None:
    report = judge(clean())
    assert report.wrong == ()
    assert [phase.writes for phase in report.phases] == [4, 5, 10]
    figures = report.as_json()
    assert figures["ok"] and figures["seed"] == 7 and figures["deliveries"] == 38
    assert figures["lag_worst_s"] == pytest.approx(0.1)
    assert "passed" in list(lines(report, "again"))[-1]


def violated(run: Run) -> None:
    run.tallies["b"].violations.append({"kind": "torn", "what": "demo/set/user: empty"})


def lost_in_a_pod(run: Run) -> None:
    run.tallies["b"].seen["demo/set"].pop()


def lost_in_the_store(run: Run) -> None:
    run.final = {"demo/set": 18}


def doubled(run: Run) -> None:
    run.final = {"demo/set": 20}


def counted_wrong(run: Run) -> None:
    run.acks[3] = Ack("demo/set", 4, 5, 103.9, 104.0)


def failed(run: Run) -> None:
    run.failed.append((106.0, "demo/set write 20: no quorum"))


def nobody_killed(run: Run) -> None:
    run.kills.clear()


def not_enough_killed(run: Run) -> None:
    run.planned = 5


def few_writes(run: Run) -> None:
    run.ended = 400.0


def few_looks(run: Run) -> None:
    run.tallies["a"].sweeps = 5


def nobody_reads(run: Run) -> None:
    run.tallies.clear()


def died(run: Run) -> None:
    run.problems.append("safe-1 exited with code 1 by itself")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (violated, "torn: b"),
        (lost_in_a_pod, "b never showed write 19"),
        (lost_in_the_store, "version 19 was acknowledged, the store has 18"),
        (doubled, "version 20 after 19 acknowledged"),
        (counted_wrong, "became version 5"),
        (failed, "a write failed"),
        (nobody_killed, "0 of 2 kills"),
        (not_enough_killed, "2 of 5 kills"),
        (few_writes, "19 acknowledged writes in 300 s"),
        (few_looks, "a: 19 writes seen in 5 looks"),
        (nobody_reads, "nobody read any file"),
        (died, "by itself"),
    ],
)
def test_each_harm_is_said(harm: Callable[[Run], None], said: str) -> None:
    run = clean()
    harm(run)
    report = judge(run)
    assert any(said in line for line in report.wrong), report.wrong
    assert not report.as_json()["ok"] and "FAILED" in list(lines(report, "again"))[-1]


def test_a_write_may_fail_while_a_plan_takes_the_quorum_away() -> None:
    run = clean()
    run.quorum = False
    failed(run)
    assert judge(run).wrong == ()


def test_what_was_written_before_anybody_looked_has_no_lag_and_still_counts() -> None:
    run = clean()
    run.began = 104.5
    for tally in run.tallies.values():
        tally.seen["demo/set"] = [(4, 103.9), *((number, 100.1 + number) for number in range(5, 20))]
    report = judge(run)
    assert report.wrong == ()
    assert report.figures["writes_acknowledged"] == 15 and report.figures["lag_worst_s"] == pytest.approx(0.1)
    run.acks[1] = Ack("demo/set", 2, 3, 101.9, 102.0)
    assert any("became version 3" in line for line in judge(run).wrong)
