"""`safe chaos`: kill nodes while secrets are rotated and read, and judge what the applications saw.

Why it exists: a promise about failures is worth what somebody can try by himself. What it refuses to do: begin on a
cluster that was not named, or call a run passed in which too little happened.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from statefulset.cli import options, output
from statefulset.cli.errors import DONE, REFUSED, usage

if TYPE_CHECKING:
    from statefulset.chaos.plan import Order
    from statefulset.chaos.verdict import Report, Run

    DurationType = click.ParamType[float]
else:  # generic in the newest click only
    DurationType = click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])


class Seconds(DurationType):
    """`90`, `90s`, `5m`, `1h` -> seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        number = text[:-1] if unit else text
        if not number.isascii() or not number.isdigit() or int(number) == 0 or len(number) > 6:
            self.fail("it is not a duration: write 120s, 5m or 1h", param, ctx)
        return float(int(number) * (unit or 1))


def planned(function: Function) -> Function:
    """What both forms have in common; the words are those of known pod-delete tools."""
    for option in (
        click.option("--seed", type=click.IntRange(0, (1 << 31) - 1), help="Repeat the plan of this seed."),
        click.option(
            "--sequence",
            type=click.Choice(["parallel", "serial"]),
            default="parallel",
            show_default=True,
            help="The pods of a round at once, or one after the other.",
        ),
        click.option(
            "--percentage",
            type=click.IntRange(0, 100),
            default=0,
            show_default=True,
            help="Part of the pods in each round, rounded down; one pod at least.",
        ),
        click.option("--force", is_flag=True, help="Without warning (SIGKILL, no grace period) instead of SIGTERM."),
        click.option(
            "--interval", type=Seconds(), default="10s", show_default=True, help="From one round to the next."
        ),
        click.option("--duration", type=Seconds(), default="120s", show_default=True, help="Of the whole run."),
    ):
        function = option(function)
    return options.json_option(function)


@click.group(short_help="Kill nodes and judge what the applications saw.")
def chaos() -> None:
    """Kill nodes while a writer rotates secrets and a reader looks at the files in pods, all the time.

    The verdict: every acknowledged write is kept and counted once, no file was ever missing, torn, mixed with others or
    older than one that was there before, and no write failed while there was a quorum. Exit code 0 only if all of it
    holds and enough happened to tell; 1 otherwise.
    """


@chaos.command(short_help="Processes of a private `safe dev` on this machine.")
@planned
@click.option("--nodes", type=click.Choice(["3", "5"]), default="3", show_default=True, help="How many nodes.")
@click.option("--workloads", type=click.IntRange(1, 32), default=4, show_default=True, help="How many pods read.")
@click.option("--wipe", is_flag=True, help="A killed node loses its disk too. Only while the others are a quorum.")
def local(
    duration: float,
    interval: float,
    force: bool,
    percentage: int,
    sequence: str,
    seed: int | None,
    nodes: str,
    workloads: int,
    wipe: bool,
    as_json: bool,
) -> int:
    """Kill the nodes of a `safe dev` of its own, on this machine.

    \b
      safe chaos local --duration 120s --force
      safe chaos local --percentage 100 --interval 20s      all nodes at once
    """
    from statefulset.chaos.local import Wanted, run
    from statefulset.chaos.plan import PlanError
    from statefulset.cli.dev import signals

    order: Order = "serial" if sequence == "serial" else "parallel"
    wanted = Wanted(duration, interval, force, percentage, order, chosen(seed), int(nodes), workloads, wipe)
    if wipe and not wanted.minority:
        raise usage("--wipe takes the disks of a majority, and with them every secret: choose a lower --percentage")
    try:
        wanted.kills()
    except PlanError as error:
        raise usage(str(error)) from None
    again = ["safe", "chaos", "local", *repeated(wanted, duration, interval), "--nodes", nodes]
    again += ["--workloads", str(workloads), *(["--wipe"] if wipe else [])]
    say(f"seed {wanted.seed}")
    try:
        with signals.installed():
            found = run(wanted, say)
    except signals.Stopped as stopped:
        return 128 + stopped.number
    return told(found, shlex.join(again), as_json)


def chosen(seed: int | None) -> int:
    """A seed that was asked for, or a new one."""
    import secrets

    return secrets.randbelow(1 << 31) if seed is None else seed


def repeated(wanted: Any, duration: float, interval: float) -> list[str]:
    """The options that make the same plan again."""
    out = [f"--duration={duration:g}s", f"--interval={interval:g}s", f"--percentage={wanted.percentage}"]
    return [*out, f"--sequence={wanted.sequence}", f"--seed={wanted.seed}", *(["--force"] if wanted.force else [])]


def say(line: str) -> None:
    """Progress, on standard error."""
    output.note(f"{time.strftime('%H:%M:%S')}  {line}")


def told(found: Run, again: str, as_json: bool) -> int:
    """Prints the report; the exit code."""
    from statefulset.chaos import text
    from statefulset.chaos.verdict import judge

    report: Report = judge(found)
    if as_json:
        output.say_json({**report.as_json(), "again": again})
    else:
        for line in text.lines(report, again):
            output.say(line)
    return REFUSED if report.wrong else DONE
