"""Measures the write path and prints one table.

    python tests/bench/write.py [--quick] [--json FILE] [--only ROW]...

Rows: raft, put, kill, freeze, cut, term, big. Peers run in the same run: the released pysyncobj for `raft`, Debian's
etcd for `put`. Wants a machine that does nothing else; wrk, etcd-server and iptables are installed if they are missing
and this is root. `--quick` shows that it all works, its figures say little. Exit code 0 whatever the figures are, 1 if
a row could not be measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from plan import FULL, QUICK, Plan
from rows import big, cut, outages, put, raft, term
from runner import run_rows
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


def main() -> int:
    return run_rows("Measures the write path; see the module.", ROWS, FULL, QUICK)


if __name__ == "__main__":
    sys.exit(main())
