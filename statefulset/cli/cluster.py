"""The commands about the store itself: status, sidecars. They ask every server of SAFE_SERVER and put it together.

Why it exists: each node knows its own state and its own sidecars only.
What it refuses to do: hide a node that did not answer; it is in the table, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from statefulset.cli import options, output

if TYPE_CHECKING:
    from statefulset.cli.client import Answer
    from statefulset.cli.rounds import Failure


def split(results: Sequence[Answer | Failure]) -> tuple[list[Answer], list[Failure]]:
    """Answers and failures. Raises CliError (3) when nobody answered."""
    from statefulset.cli.client import Answer, away
    from statefulset.cli.rounds import Stop

    answers = [result for result in results if isinstance(result, Answer)]
    failures = [result for result in results if not isinstance(result, Answer)]
    if not answers:
        raise away(Stop(tuple(failures)))
    return answers, failures


def unreached(failures: Sequence[Failure]) -> list[dict[str, str]]:
    return [{"server": failure.server, "code": failure.code, "message": failure.message} for failure in failures]


def _yes(value: object) -> str:
    return "yes" if value else "NO"


@click.command(short_help="Show how the store is.")
@options.json_option
@options.timeout_option
def status(as_json: bool, timeout: float) -> None:
    """Show how the store is: each node, who leads, whether writes work.

    Asks every server of SAFE_SERVER once. Exit code 0 if at least one answers, also when there is no quorum: look at
    the column QUORUM, or at `quorum` in --json.
    """
    with options.client(timeout) as client:
        answers, failures = split(client.ask_each("/v1/status"))
    nodes = {answer.data["node"]: {"server": answer.server, **answer.data} for answer in answers}
    quorum = any(node["quorum"] for node in nodes.values())
    if as_json:
        leader = next((node["leader"] for node in nodes.values() if node["quorum"] and node["leader"]), None)
        data = {"quorum": quorum, "leader": leader, "nodes": list(nodes.values()), "unreachable": unreached(failures)}
        output.say_json(data)
        return
    rows = [
        (
            name,
            node["state"],
            node["leader"] or "-",
            str(node["term"]),
            str(node["applied"]),
            _yes(node["quorum"]),
            _yes(node["ready"]),
            _yes(node["disk_ok"]),
            str(node["secrets"]),
            str(node["sidecars"]),
            node["version"],
        )
        for name, node in sorted(nodes.items())
    ]
    head = ("NODE", "STATE", "LEADER", "TERM", "APPLIED", "QUORUM", "READY", "DISK", "SECRETS", "SIDECARS", "VERSION")
    output.say(output.table(head, rows))
    for failure in failures:
        output.note(f"{failure.server} did not answer: {failure.message}")
    if not quorum:
        output.note("no quorum: writes are refused, delivery to workloads goes on with what was committed")


def merged(receipts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One receipt a pod, sorted: the connected one before what a node remembers of one that left it, of several the one
    with a reason why it is not done, else the newest."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in sorted(receipts, key=_weight):
        best[item["namespace"], item["pod"], item["serviceaccount"]] = item
    return [best[key] for key in sorted(best)]


def _weight(item: dict[str, Any]) -> tuple[bool, bool, int]:
    return item["connected"], item["connected"] and bool(item.get("reason")), item["since_ms"]


def _state(receipt: dict[str, Any]) -> str:
    """What is wrong with it, the first thing first, or "ok". Of a sidecar too old to say, what is known."""
    if not receipt["connected"] and receipt["error"] == "behind":
        return f"refused {output.when(receipt['since_ms'])}: it has seen more than this store has; recreate the pod"
    if not receipt["connected"]:
        return f"{'ended' if receipt['left'] else 'left'} {output.when(receipt['since_ms'])}"
    parts = [receipt["error"]]
    parts += [f"{key}: {receipt[key]}" for key in ("render", "notify") if receipt[key]]
    if receipt["stale"] or receipt["staleness_ms"]:
        parts.append(f"stale for {(receipt['staleness_ms'] or 0) / 1000:.0f} s")
    return "; ".join(part for part in parts if part) or "ok"


SHOWN = 3
"""Secrets of a pod that are named in the table: one pod with a hundred would push STATE off every screen."""


def _holds(placed: Mapping[str, int], secret: str | None, wide: bool) -> str:
    """What a pod holds, in one cell: all of it if `wide` or little, else how many, and `secret` if one is asked for."""
    named = [f"{name}@{version}" for name, version in sorted(placed.items())]
    if wide or len(named) <= SHOWN:
        return ", ".join(named) or "-"
    if secret is not None and secret in placed:
        return f"{secret}@{placed[secret]} of {len(named)} secrets"
    return f"{len(named)} secrets"


@click.command(short_help="Show which pods hold which version.")
@click.option("--secret", type=options.SECRET, metavar="NAMESPACE/NAME", help="Only sidecars that hold this secret.")
@click.option("-o", "--output", "form", type=click.Choice(["wide"]), help="Name all secrets of each pod.")
@options.json_option
@options.timeout_option
def sidecars(secret: str | None, form: str | None, as_json: bool, timeout: float) -> None:
    """Show which pods are connected, or were a short while ago, and which version of each secret they hold.

    Of a pod with more than three secrets their number is shown; -o wide and --json name all.

    Asks every server of SAFE_SERVER, because a sidecar is connected to one node; one that is missing here may be
    connected to a node which is not named in SAFE_SERVER.
    """
    with options.client(timeout) as client:
        answers, failures = split(client.ask_each("/v1/sidecars"))
    every = merged([item for answer in answers for item in answer.data])
    found = [item for item in every if secret is None or secret in item["placed"]]
    if as_json:
        output.say_json({"sidecars": found, "unreachable": unreached(failures)})
        return
    if found:
        rows = [
            (
                f"{item['namespace']}/{item['pod']}",
                item["serviceaccount"],
                item["node"],
                _holds(item["placed"], secret, form == "wide"),
                _state(item),
            )
            for item in found
        ]
        output.say(output.table(("POD", "SERVICEACCOUNT", "NODE", "HOLDS", "STATE"), rows))
    else:
        output.note("no sidecar is connected" + (f" that holds {secret}" if secret else ""))
    for failure in failures:
        output.note(f"{failure.server} did not answer: {failure.message}")
