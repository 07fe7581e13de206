"""The README's first ten minutes, run as they stand there: every command, what it prints, and its exit code.

Lines that begin with `$ ` in the block after the marker are given to bash; what follows is compared with what came,
both outputs together, after times are made equal. So the README cannot promise what the program does not do."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from statefulset.cli.dev import programs

README = Path(__file__).parents[2] / "README.md"
MARKER = "<!-- tests/cluster/test_transcript.py runs this -->"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PATIENCE = 60.0


def steps(text: str) -> list[tuple[str, list[str]]]:
    """(command, lines expected) of the console block after the marker."""
    block = text.split(MARKER, 1)[1].split("```console\n", 1)[1].split("```", 1)[0]
    out: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            out.append((line[2:], []))
        elif line:
            out[-1][1].append(line)
    return out


def equal(lines: list[str]) -> list[str]:
    """Times are other ones each time; so is the length of the column that they are in."""
    return [re.sub(r" {2,}", "  ", MOMENT.sub("TIME", line)).rstrip() for line in lines]


def test_the_first_ten_minutes_in_the_readme(
    dev: Callable[..., Any], tmp_path: Path, until: Callable[..., bool]
) -> None:
    running = dev("--port", "0").ready()
    exported = dict(line.split()[1].split("=", 1) for line in running.lines if line.startswith("  export "))
    (tmp_path / "safe").write_text(f'#!/bin/sh\nexec {shlex.join(programs.command("safe"))} "$@"\n')
    (tmp_path / "safe").chmod(0o755)
    env = programs.clean(os.environ) | exported
    env |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MOUNT": str(running.home / "mounts" / "web")}
    found = steps(README.read_text("utf-8"))
    assert len(found) > 15

    def done(command: str, expected: list[str]) -> list[str]:
        """What it prints; asked again while delivery is on its way, if it only looks."""
        shown: list[str] = []

        def once() -> bool:
            result = subprocess.run(
                ["bash", "-c", command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
                check=False, cwd=tmp_path,
            )  # fmt: skip
            shown[:] = result.stdout.decode().splitlines()
            return equal(shown) == equal(expected)

        looks = command.startswith(("cat ", "wc ", "ls ", "safe rollout"))
        until(once, 20.0) if looks else once()
        return shown

    for command, expected in found:
        shown = done(command, expected)
        print("\n".join([f"$ {command}", *shown]))
        assert equal(shown) == equal(expected), f"after `{command}`"
