from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from campaign import Campaign

HERE = pathlib.Path(__file__).parent


def replay(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    program = [sys.executable, str(HERE), "--seeds", "1", "--first", str(seed)]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_same_seed_is_the_same_run_byte_for_byte() -> None:
    """Also in another process with another order of sets: every message and every batch on disk is in the digest."""
    here, there = Campaign(7).run(), replay(7, "1")
    assert here.digest in there
    assert there == replay(7, "2")
    assert Campaign(8).run().digest != here.digest
