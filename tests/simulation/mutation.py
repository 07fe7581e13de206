"""python tests/simulation/mutation.py: breaks one rule at a time and reports which check noticed, after how many seeds.

Exits 1 if a breakage survives all seeds: then the simulation would not notice that mistake in the real code either.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from breakages import ALL
from campaign import Campaign


def hunt(name: str, seeds: int) -> tuple[str, int, str]:
    """(breakage, seeds needed or 0, what caught it)."""
    for seed in range(1, seeds + 1):
        try:
            with ALL[name]():
                Campaign(seed).run()
        except Exception as error:
            said = str(error).split("\n")[0][:110]
            return name, seed, f"{type(error).__name__}: {said}"
    return name, 0, "survived"


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutation")
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--only", choices=sorted(ALL), action="append")
    options = parser.parse_args()
    names, began, survivors = options.only or list(ALL), time.monotonic(), 0
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for name, seed, caught in pool.map(hunt, names, [options.seeds] * len(names)):
            survivors += not seed
            print(f"{name:42} {f'seed {seed}' if seed else 'SURVIVED':10} {caught}", flush=True)
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{len(names) - survivors} passed, {survivors} failed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
