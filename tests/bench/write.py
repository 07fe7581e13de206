"""Measures the write path and prints one table.

    python tests/bench/write.py [--quick] [--json FILE] [--only ROW]...

Rows: raft, put, kill, freeze, cut, term, big. Peers run in the same run: the released pysyncobj for `raft`, Debian's
etcd for `put`. Wants a machine that does nothing else; wrk, etcd-server and iptables are installed if they are missing
and this is root. `--quick` shows that it all works, its figures say little. Exit code 0 whatever the figures are, 1 if
a row could not be measured.
"""

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
from typing import Any

import table
from plan import FULL, QUICK, Plan
from rows import big, cut, outages, put, raft, term
from table import Line

Row = Callable[[Plan, Callable[[str], None]], list[Line]]
ROWS: Mapping[str, Row] = {
    "raft": raft.run,
    "put": put.run,
    "kill": outages.kill,
    "freeze": outages.freeze,
    "cut": cut.run,
    "term": term.run,
    "big": big.run,
}


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
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures the write path; see the module.")
    parser.add_argument("--quick", action="store_true", help="a few minutes; the figures say little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured here too")
    parser.add_argument("--only", action="append", choices=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    options = parser.parse_args()
    plan, about = (QUICK if options.quick else FULL), machine()
    lines: list[Line] = []
    notes: list[str] = []
    errors = 0
    for name in options.only or ROWS:
        try:
            lines += ROWS[name](plan, said)
        except cut.LeftOut as reason:
            notes.append(f"{name}: left out: {reason}")
        except Exception as error:
            errors += 1
            said(traceback.format_exc())
            notes.append(f"{name}: FAILED to measure: {error}")
    notes.append(
        f"machine: {about['cpus']} processors, load {about['load_at_start']:.1f} at the start, {about['system']}"
    )
    if options.quick:
        notes.append("--quick: too short and too few to judge by")
    print(table.render(lines, notes))
    if options.json is not None:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        found = {"at": at, "quick": options.quick, "machine": about, "lines": [line.packed() for line in lines]}
        options.json.write_text(json.dumps({**found, "notes": notes}, indent=1) + "\n", "utf-8")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
