"""python tests/simulation --seeds 100 --first 1: runs seeds, prints each failing one, replays with --seeds 1."""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))


# A line after this many seeds, so that a long run is seen to move.
PROGRESS = 50
# With fewer seeds chance may well leave a kind of fault out.
ENOUGH = 50


def main() -> int:
    from campaign import Campaign
    from runner import run_many

    parser = argparse.ArgumentParser(prog="simulation")
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    if options.seeds == 1:
        # One seed runs here, so that a failure shows its whole stack.
        print(Campaign(options.first).run())
        print("1 passed, 0 failed")
        return 0
    began, totals, failed = time.monotonic(), collections.Counter[str](), 0
    for done, outcome in enumerate(run_many(options.first, options.seeds), start=1):
        if outcome.error:
            failed += 1
            print(f"seed {outcome.seed} FAILED: {outcome.error}", flush=True)
        totals.update(outcome.counts, puts=outcome.puts, reads=outcome.reads)
        if done % PROGRESS == 0:
            print(f"{done} of {options.seeds} seeds after {time.monotonic() - began:.0f} s", flush=True)
    for kind in ("snapshots", "installs", "membership", "wiped", "scaled", "full disks"):
        if options.seeds >= ENOUGH and totals[kind] < options.seeds / 10:
            failed += 1
            print(f"hardly any {kind} in {options.seeds} seeds: the faults are not at work")
    took = time.monotonic() - began
    print(f"{options.seeds} seeds from {options.first} in {took:.0f} s: {dict(totals)}")
    print(f"{options.seeds - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
