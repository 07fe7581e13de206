"""Runs the rows of a benchmark and prints their table: what write.py and delivery.py have in common."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import table
from table import Line

Plan = TypeVar("Plan")


class LeftOut(Exception):
    """This row cannot be measured here: why."""


def said(text: str) -> None:
    """Progress, apart from the table."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    load = os.getloadavg()[0]
    return {
        "cpus": os.cpu_count(),
        "load_at_start": load,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "interpreter": os.path.realpath(sys.executable),
    }


def run_rows(
    description: str, rows: Mapping[str, Callable[[Plan, Callable[[str], None]], list[Line]]], full: Plan, quick: Plan
) -> int:
    """The command line and all of the rest. Returns the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a few minutes; the figures say little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured here too")
    parser.add_argument("--only", action="append", choices=list(rows), metavar="ROW", help=f"of {', '.join(rows)}")
    options = parser.parse_args()
    plan, about = (quick if options.quick else full), machine()
    lines: list[Line] = []
    notes: list[str] = []
    errors = 0
    for name in options.only or rows:
        try:
            lines += rows[name](plan, said)
        except LeftOut as reason:
            notes.append(f"{name}: left out: {reason}")
        except Exception as error:
            errors += 1
            said(traceback.format_exc())
            notes.append(f"{name}: FAILED to measure: {error}")
    notes.append(
        f"machine: {about['cpus']} processors, load {about['load_at_start']:.1f} at the start, {about['system']}, "
        f"Python {about['python']} ({about['interpreter']})"
    )
    if options.quick:
        notes.append("--quick: too short and too few to judge by")
    print(table.render(lines, notes))
    if options.json is not None:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        found = {"at": at, "quick": options.quick, "machine": about, "lines": [line.packed() for line in lines]}
        options.json.write_text(json.dumps({**found, "notes": notes}, indent=1) + "\n", "utf-8")
    return 1 if errors else 0
