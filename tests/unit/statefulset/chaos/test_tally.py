"""Lines of a writer put together, and lines that are gone."""

from __future__ import annotations

from statefulset.chaos.history import Ack
from statefulset.chaos.tally import lacking, written


def line(n: int, acks=(), failed=(), **more):
    return {
        "n": n, "at": 10.0 + n, "acks": [list(each) for each in acks], "failed": [list(each) for each in failed],
        "tried": {"a/b": n}, "problem": "", "ready": False, "ended": False, **more,
    }  # fmt: skip


def test_a_writers_lines_are_put_together() -> None:
    found = written(
        [
            line(1, [("a/b", 1, 1, 1.0, 2.0)]),
            {"strange": True},
            line(2, failed=[(3.0, "no quorum")], ready=True),
            line(3, [("a/b", 3, 2, 4.0, 5.0)], ready=True, ended=True),
        ]
    )
    assert found.acks == [Ack("a/b", 1, 1, 1.0, 2.0), Ack("a/b", 3, 2, 4.0, 5.0)]
    assert (found.failed, found.tried, found.ready, found.ended, found.told) == (
        [(3.0, "no quorum")], {"a/b": 3}, True, True, 13.0,
    )  # fmt: skip
    assert not written([]).ready


def test_a_line_that_is_gone_is_noticed_wherever_it_was() -> None:
    lines = [line(number) for number in range(1, 6)]
    assert not lacking(lines) and not lacking([])
    assert lacking(lines[1:]) and lacking(lines[:2] + lines[3:]), "the last one nobody can miss"
