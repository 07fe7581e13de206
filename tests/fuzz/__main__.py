"""python tests/fuzz [--seconds 300] [--seed N] [--only TARGET]... [--replay FILE --only TARGET]

Feeds the wire, both ends of the protocol, the sidecar's session and the node's door with real streams that were changed
at random, two targets at a time, each for its share of the seconds. Guided by coverage if atheris is installed, else by
a seed alone. Exit code 1 at a finding, whose input is kept and shown; a run that tried hardly anything fails too.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE))

import seeded  # noqa: E402
from targets import TARGETS  # noqa: E402

AT_ONCE: Final = 2
LEAST: Final = 20
"""Executions a second and target that are too few to speak of a test; hundreds to thousands are usual."""
UNITS: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
COVERED: Final = re.compile(r"cov: (\d+) ft: (\d+)")
TAIL: Final = 40


def guided(name: str, seconds: int, seed: int, found: Path) -> tuple[int, str, str]:
    """(executions, what more is known, what was found)."""
    with tempfile.TemporaryDirectory(prefix="raftsafe-fuzz-") as corpus:
        for number, data in enumerate(TARGETS[name][1]):
            (Path(corpus) / f"seed-{number:03}").write_bytes(data)
        command = [sys.executable, str(HERE / "guided.py"), name, corpus, str(found), str(seconds), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    units, covered = UNITS.findall(done.stderr), COVERED.findall(done.stderr)
    more = (
        f"{covered[-1][0]} edges, {covered[-1][1]} features (from {covered[0][0]}, {covered[0][1]})" if covered else ""
    )
    told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("#")]
    wrong = "" if done.returncode == 0 else "\n".join(told[-TAIL:])
    return int(units[-1]) if units else 0, more, wrong


def unguided(name: str, seconds: int, seed: int, found: Path) -> tuple[int, str, str]:
    """In this process."""
    target, corpus = TARGETS[name]
    try:
        return seeded.run(target, corpus, seed, seconds=seconds), "", ""
    except seeded.Finding as error:
        file = found / f"{name}-{seed}"
        file.write_bytes(error.data)
        return 0, "", f"{error}\nkept as {file}"


def replay(name: str, file: Path) -> int:
    """Runs one input; it raises what it raises."""
    TARGETS[name][0](file.read_bytes())
    print(f"{name}: {file} does no harm")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/fuzz", description="see the module")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    parser.add_argument("--only", action="append", choices=list(TARGETS))
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir()) / "raftsafe-findings")
    options = parser.parse_args()
    names = options.only or list(TARGETS)
    if options.replay is not None:
        return replay(names[0], options.replay)
    coverage = importlib.util.find_spec("atheris") is not None
    at_once = min(AT_ONCE, len(names), os.cpu_count() or 1)
    share = max(1, options.seconds * at_once // len(names))
    print(
        f"seed {options.seed}, {'atheris' if coverage else 'no atheris: seeded only'}, {share} s a target", flush=True
    )
    options.found.mkdir(mode=0o700, parents=True, exist_ok=True)
    began, failed = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        run = guided if coverage else unguided
        for name, outcome in zip(
            names, pool.map(lambda name: run(name, share, options.seed, options.found), names), strict=True
        ):
            count, more, wrong = outcome
            enough = count >= LEAST * share
            failed += bool(wrong) or not enough
            print(f"{name:12} {count:9} executions, {count / share:.0f} a second  {more}", flush=True)
            if wrong:
                print(f"{name} FOUND SOMETHING: `python tests/fuzz --only {name} --replay FILE` runs it again\n{wrong}")
            elif not enough:
                print(f"{name} FAILED: too few to speak of a test")
    print(f"{'FAILED' if failed else 'passed'} in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
