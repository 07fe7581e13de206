"""`safe rollout status`: how many pods have the newest version of a secret, and why the others do not.

Why it exists: a rotation is over when the last pod has the new value, and only the pods know. Each node knows its own
pods, so every server is asked and the answers are put together.
What it refuses to do: call it complete while a node has not answered; the pods connected to it would be left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from statefulset.cli import options, output
from statefulset.cli.cluster import merged, split, unreached
from statefulset.cli.errors import AWAY, REFUSED, CliError

if TYPE_CHECKING:
    from statefulset.cli.client import Client
    from statefulset.cli.rounds import Failure

PERIOD = 0.5
"""Seconds between two looks."""
WHY = {
    "behind": "has not got it yet",
    "ahead": "has what this store does not know, of another store or from before a restore: recreate the pod",
    "stale": "its node has no quorum",
    "disconnected": "not connected",
    "render_failed": "rendering failed",
    "no_space": "its volume is full",
    "write_failed": "its volume cannot be written",
    "not_granted": "not granted",
    "not_yet_valid": "not valid yet",
    "expired": "expired",
}


@dataclass(frozen=True)
class Look:
    """All that is known at one moment. `pods`: one each; `absent`: nodes whose pods are not known."""

    name: str
    version: int
    pods: Sequence[dict[str, Any]]
    absent: Sequence[str]
    failures: Sequence[Failure] = field(default=())

    @property
    def counted(self) -> list[dict[str, Any]]:
        return [pod for pod in self.pods if pod["counts"]]

    @property
    def current(self) -> int:
        return sum(1 for pod in self.counted if not pod["reason"])

    @property
    def complete(self) -> bool:
        return self.current == len(self.counted) and not self.absent

    @property
    def expired(self) -> bool:
        """Then waiting changes nothing: nobody gets it any more."""
        return any(pod["reason"] == "expired" for pod in self.counted)

    def view(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "complete": self.complete,
            "current": self.current,
            "total": len(self.counted),
            "pods": self.pods,
            "absent": self.absent,
            "unreachable": unreached(self.failures),
        }


def together(answers: Sequence[dict[str, Any]], failures: Sequence[Failure] = ()) -> Look:
    """One look from what several nodes say, at least one. A pod that was done at a node which does not know the newest
    version is not done."""
    version = max(answer["version"] for answer in answers)
    stale = {answer["node"] for answer in answers if answer["stale"]}
    members = {member for answer in answers for member in answer["members"]}
    pods = []
    for pod in [pod for answer in answers for pod in answer["pods"]]:
        if not pod["reason"] and (pod["version"] or 0) < version:
            late = "stale" if pod["node"] in stale else "behind"
            pods.append({**pod, "reason": late if pod["connected"] else "disconnected"})
        else:
            pods.append(pod)
    absent = sorted(members - {answer["node"] for answer in answers})
    return Look(answers[0]["name"], version, merged(pods), absent, failures)


def watch(client: Client, name: str, until: float) -> Look:
    """Looks until it is complete, or cannot be, or the time (monotonic, in seconds) has come, and at least once. Raises
    CliError: refused (1), away (3)."""
    told = ""
    while True:
        answers, failures = split(client.ask_each(f"/v1/secrets/{name}/rollout"))
        look = together([answer.data for answer in answers], failures)
        left = until - time.monotonic()
        if look.complete or look.expired or left <= 0:
            return look
        if (line := _line(look)) != told:
            output.note(line)
            told = line
        time.sleep(min(PERIOD, left))


def _line(look: Look) -> str:
    return f"{look.name} version {look.version}: {look.current} of {len(look.counted)} pods have it"


def _row(pod: dict[str, Any]) -> tuple[str, ...]:
    why = WHY.get(pod["reason"], pod["reason"])
    return (
        f"{pod['namespace']}/{pod['pod']}",
        pod["serviceaccount"],
        pod["node"] if pod["connected"] else f"left {output.when(pod['since_ms'])}",
        "-" if pod["version"] is None else str(pod["version"]),
        (f"{why}: {pod['detail']}" if why and pod["detail"] else why or pod["detail"])
        + ("" if pod["counts"] else " (not waited for)"),
    )


def _show(look: Look) -> None:
    output.say(_line(look))
    rows = [_row(pod) for pod in look.pods if pod["reason"] or pod["detail"]]
    if rows:
        output.say(output.table(("POD", "SERVICEACCOUNT", "NODE", "HAS", "WHY"), rows))
    if not look.pods:
        output.note("no pod takes it, of those connected to the nodes that answered")
    for failure in look.failures:
        output.note(f"{failure.server} did not answer: {failure.message}")
    if look.absent:
        output.note(f"not complete while these nodes are not asked, for the pods there: {', '.join(look.absent)}")
        output.note("hint: SAFE_SERVER has to name every node; `safe status` shows them")


@click.group(short_help="Follow a new version to the pods.")
def rollout() -> None:
    """Follow a new version of a secret to the pods."""


@rollout.command(short_help="Show which pods have the newest version.")
@options.secret_argument
@click.option("--wait", is_flag=True, help="Until every pod has it, or --timeout is over.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait waits.",
)
@options.json_option
@click.pass_context
def status(ctx: click.Context, name: str, wait: bool, timeout: float, as_json: bool) -> None:
    """Show how many pods have the newest version of a secret in their files, and why the others do not.

    Asks every server of SAFE_SERVER. Pods that are gone for two minutes, or are not granted the secret, are shown and
    not waited for. Exit code 0: every pod has it; 1: nobody gets it any more, because it has expired or is deleted; 3:
    not all of them yet, or not every node could be asked.
    """
    with options.client(10.0) as client:
        look = watch(client, name, time.monotonic() + timeout if wait else 0.0)
    if as_json:
        output.say_json(look.view())
    else:
        _show(look)
    if look.expired:
        hint = f"put a new value, or `safe patch {name} --expires TIME` (or never)"
        raise CliError(f"{name} has expired: no pod gets it any more", code="expired", exit_code=REFUSED, hint=hint)
    if not look.complete:
        ctx.exit(AWAY)
