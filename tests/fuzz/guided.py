"""One target under atheris: coverage says which inputs are worth keeping, mutate.py changes half of them.

    python guided.py TARGET CORPUS_FOLDER FOUND_FOLDER SECONDS SEED

libFuzzer ends the process: with 0 when the time is up, with 77 at a finding, whose input it leaves in FOUND_FOLDER.
What it refuses to do: anything but that; __main__.py starts it and reads what it says.
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["sidecar", "node"], enable_loader_override=False):
    from targets import TARGETS

from mutate import MAX_INPUT, mutate


def changed(data: bytes, size: int, seed: int) -> bytes:
    rng = random.Random(seed)
    return mutate(data, rng)[:size] if rng.random() < 0.6 else atheris.Mutate(data, size)


def main() -> None:
    name, corpus, found, seconds, seed = sys.argv[1:]
    target, _ = TARGETS[name]
    options = [
        corpus,
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    atheris.Setup([sys.argv[0], *options], target, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
