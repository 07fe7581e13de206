"""`safe chaos`: kill nodes while secrets are rotated and read, and judge what the applications saw.

Why it exists: a promise about failures is worth what somebody can try by himself. What it refuses to do: begin on a
cluster that was not named, or call a run passed in which too little happened.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from statefulset.cli import options, output
from statefulset.cli.errors import DONE, REFUSED, CliError, usage

if TYPE_CHECKING:
    from statefulset.chaos.plan import Order
    from statefulset.chaos.verdict import Report, Run
    from statefulset.kube.login import Login

    DurationType = click.ParamType[float]
else:  # generic in the newest click only
    DurationType = click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Of a duration, in seconds."""


class Seconds(DurationType):
    """`90`, `90s`, `5m`, `1h` -> seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        unit = UNITS.get(text[-1:], 0.0)
        number = text[:-1] if unit else text
        if not number.isascii() or not number.isdigit() or int(number) == 0 or len(number) > 6:
            self.fail("it is not a duration: write 120s, 5m or 1h", param, ctx)
        return int(number) * (unit or UNITS["s"])


def planned(duration: str, interval: str) -> Callable[[Function], Function]:
    """What both forms have in common, with these defaults; the words are those of known pod-delete tools."""
    return lambda function: _planned(function, duration, interval)


def _planned(function: Function, duration: str, interval: str) -> Function:
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
        click.option(
            "--force", is_flag=True, help="SIGKILL instead of SIGTERM; to pods within a second or two after it."
        ),
        click.option(
            "--interval", type=Seconds(), default=interval, show_default=True, help="From one round to the next."
        ),
        click.option(
            "--workloads", type=click.IntRange(1, 32), default=4, show_default=True, help="How many pods read."
        ),
        click.option("--duration", type=Seconds(), default=duration, show_default=True, help="Of the whole run."),
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
@planned("120s", "10s")
@click.option("--nodes", type=click.Choice(["3", "5"]), default="3", show_default=True, help="How many nodes.")
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
    from statefulset.chaos.local import run
    from statefulset.chaos.plan import PlanError, Wanted
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
    again += ["--wipe"] if wipe else []
    say(f"seed {wanted.seed}")
    try:
        with signals.installed():
            found = run(wanted, say)
    except signals.Stopped as stopped:
        return 128 + stopped.number
    return told(found, shlex.join(again), as_json)


@chaos.command(short_help="Pods of an installed store, in a cluster.")
@planned("300s", "30s")
@click.option("--namespace", required=True, metavar="NAME", help="Where the store is whose pods are to be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed where there is no terminal to ask at.")
def pods(
    duration: float,
    interval: float,
    force: bool,
    percentage: int,
    sequence: str,
    seed: int | None,
    workloads: int,
    namespace: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete pods of the store in --namespace, in the cluster of your kubeconfig.

    It makes a namespace of its own with a pod that writes and some that read, and removes it at the end, Ctrl-C
    included. The store's other secrets are not looked at. You have to be a cluster admin or nearly so.

    \b
      safe chaos pods --namespace raftsafe
      safe chaos pods --namespace raftsafe --force --duration 10m --sequence serial --percentage 100
    """
    from statefulset.chaos.plan import PlanError, Wanted

    entered, path = entering(namespace)
    from statefulset.chaos import pods as run
    from statefulset.chaos.target import UnfitError, check
    from statefulset.chaos.workloads import named
    from statefulset.cli.dev import signals

    if duration > run.MAX_DURATION:
        raise usage("--duration is 2h at most: a kubelet keeps no more of the writer's log")
    there = run.find(entered, namespace)
    order: Order = "serial" if sequence == "serial" else "parallel"
    size = len(there.nodes)
    wanted = Wanted(duration, interval, force, percentage, order, chosen(seed), size, workloads)
    try:
        wanted.kills()
        check(wanted, there)
    except (PlanError, UnfitError) as error:
        raise usage(str(error)) from None
    own = named(mark(), workloads, wanted.seed, duration)
    run.allowed(entered, namespace, own.namespace)
    if not yes:
        confirm(f"Delete pods of the store in namespace {namespace} of context {entered.context} for {duration:g} s?")
    say(f"seed {wanted.seed}")
    try:
        with signals.installed():
            found = run.Chaos(entered, path, wanted, there, own, say).run()
    except signals.Stopped as stopped:
        return 128 + stopped.number
    again = ["safe", "chaos", "pods", f"--namespace={namespace}", *repeated(wanted, duration, interval)]
    return told(found, shlex.join(again), as_json)


def entering(namespace: str) -> tuple[Login, str]:
    """The kubeconfig's user, and the kubeconfig. Raises CliError: usage, also if another store may be meant."""
    from statefulset.cli import connection, tunnel

    asked = options.asked()
    if asked.dev:
        raise usage("a `safe dev` has no pods", "`safe chaos local` makes one of its own")
    if os.environ.get("SAFE_SERVER"):
        raise usage("SAFE_SERVER is set, and this needs a cluster", "unset SAFE_SERVER: it may be another store")
    if asked.namespace not in (namespace, connection.NAMESPACE):
        raise usage(
            f"two namespaces are named: {asked.namespace} and {namespace}", "name the one you mean twice, or once"
        )
    path = connection.kubeconfig(os.environ)
    if not path:
        raise usage("there is no kubeconfig", "KUBECONFIG names one; without it, it is ~/.kube/config")
    return tunnel.login(path, asked), path


def confirm(question: str) -> None:
    """Raises CliError."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise usage("pods would be deleted and nobody can be asked here", "say --yes if you mean it")
    if not click.confirm(question, err=True):
        raise CliError("not confirmed; nothing was done", code="stopped", exit_code=REFUSED)


def mark() -> str:
    """Whose namespace it is: one that no other run has."""
    import secrets

    return secrets.token_hex(4)


def chosen(seed: int | None) -> int:
    """A seed that was asked for, or a new one."""
    import secrets

    return secrets.randbelow(1 << 31) if seed is None else seed


def repeated(wanted: Any, duration: float, interval: float) -> list[str]:
    """The options that make the same plan again."""
    out = [f"--duration={duration:g}s", f"--interval={interval:g}s", f"--percentage={wanted.percentage}"]
    out.append(f"--workloads={wanted.workloads}")
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
