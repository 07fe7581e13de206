"""python tests/simulation --seeds 100 --first 1: runs seeds, prints each failing one, replays with --seeds 1."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))


def main() -> int:
    from campaign import Campaign

    parser = argparse.ArgumentParser(prog="simulation")
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    failed, puts, reads, began = [], 0, 0, time.monotonic()
    counts: dict[str, int] = {}
    for seed in range(options.first, options.first + options.seeds):
        try:
            report = Campaign(seed).run()
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed} FAILED: {type(error).__name__}: {error}", flush=True)
            if options.seeds == 1:
                traceback.print_exc()
        else:
            puts, reads = puts + report.acknowledged, reads + report.reads
            for key, value in report.counts.items():
                counts[key] = counts.get(key, 0) + value
            if options.seeds == 1:
                print(report)
    took = time.monotonic() - began
    print(f"{options.seeds} seeds from {options.first} in {took:.1f} s: {puts} puts, {reads} reads, {counts}")
    print(f"{options.seeds - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
