"""A report as people read it.

Why it exists: the same table for processes and for pods. What it refuses to do: judge; see verdict.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from statefulset.chaos import lags
from statefulset.chaos.verdict import Report
from statefulset.cli import output

SHOWN: Final = 12
HEAD: Final = ("PHASE", "SECONDS", "WRITES", "SLOWEST WRITE", "LAG P99", "LAG WORST")


def lines(report: Report, again: str) -> Iterator[str]:
    """`again`: the command that runs the same plan."""
    rows = [
        (
            phase.name,
            f"{phase.end - phase.begin:.1f}",
            str(phase.writes),
            f"{phase.slowest:.3f} s",
            f"{lags.p99(phase.lags):.3f} s",
            f"{lags.worst(phase.lags):.3f} s",
        )
        for phase in report.phases
    ]
    yield output.table(HEAD, rows)
    yield ""
    yield output.pairs([(name.replace("_", " "), str(figure)) for name, figure in report.figures.items()])
    yield ""
    for line in report.wrong[:SHOWN]:
        yield f"WRONG  {line}"
    if len(report.wrong) > SHOWN:
        yield f"... and {len(report.wrong) - SHOWN} more"
    yield f"{'FAILED' if report.wrong else 'passed'}: {len(report.wrong)} violations; again: {again}"
