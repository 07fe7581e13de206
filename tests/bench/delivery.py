"""Measures delivery and prints one table.

    python tests/bench/delivery.py [--quick] [--json FILE] [--only ROW]...

Rows: swap, thousand, streams, cost. Debian's etcd is the peer of `swap`, in the same run; it is installed if it is
missing and this is root. Wants a machine that does nothing else. `--quick` shows that it all works, its figures say
little. Exit code 0 whatever the figures are, 1 if a row could not be measured.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping

from plan import DELIVERY, DELIVERY_QUICK, DeliveryPlan
from rows import cost, streams, swap, thousand
from runner import run_rows
from table import Line

Row = Callable[[DeliveryPlan, Callable[[str], None]], list[Line]]
ROWS: Mapping[str, Row] = {"swap": swap.run, "thousand": thousand.run, "cost": cost.run, "streams": streams.run}


def main() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited: 5000 streams are as many descriptors
    return run_rows("Measures delivery; see the module.", ROWS, DELIVERY, DELIVERY_QUICK)


if __name__ == "__main__":
    sys.exit(main())
