"""What a running cluster looks like: for a terminal a picture that is renewed, else one line per change.

Why it exists: leader, term and what each pod holds are what one wants to see while trying things out.
What it refuses to do: show a value, or anything that the API of the nodes does not say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from statefulset.cli.dev.harness import DevCluster
from statefulset.cli.output import printable

SHOWN: Final = 8
"""Rows of secrets in the picture, which fits 24 lines so; `safe list` shows all."""
LONGEST: Final = 28
"""Characters of a name in the picture."""
FEW: Final = 6
"""Names of secrets or workloads in one cell of the picture."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One look at the cluster. `nodes`: name -> status, None for one that does not answer; `processes`: name -> how it
    is; `sidecars`: pod -> its report; `secrets`: the first few records and whether there are more."""

    nodes: Mapping[str, Mapping[str, Any] | None]
    processes: Mapping[str, str]
    sidecars: Mapping[str, Mapping[str, Any] | None]
    secrets: tuple[Mapping[str, Any], ...] = ()
    more: bool = False

    @property
    def leader(self) -> Mapping[str, Any] | None:
        """The status of the node that leads with a quorum."""
        found = [node for node in self.nodes.values() if node and node["state"] == "leader" and node["quorum"]]
        return max(found, key=lambda node: int(node["term"]), default=None)


def observe(cluster: DevCluster) -> Snapshot:
    """Ask every node for its status and its sidecars, and one for its secrets."""
    status = cluster.status()
    reports = {
        report["pod"]: report for found in cluster.ask("/v1/sidecars").values() for report in found if report["pod"]
    }
    page = cluster.some_secrets(SHOWN) if status else {}
    names = cluster.supervisor.names()
    return Snapshot(
        nodes={name: status.get(name) for name in cluster.names},
        processes={
            name: f"process {process.pid}" if process.alive else process.how_it_ended()
            for name in names
            for process in [cluster.supervisor[name]]
        },
        sidecars={workload.name: reports.get(workload.name) for workload in cluster.workloads.values()},
        secrets=tuple(page.get("secrets", ())),
        more=bool(page.get("next")),
    )


def headline(snapshot: Snapshot) -> str:
    """Who leads, or that nobody does."""
    leader = snapshot.leader
    if leader is None:
        return "no leader: writes are refused, delivery goes on with what was committed"
    return f"{leader['node']} leads in term {leader['term']}"


def node_row(name: str, status: Mapping[str, Any] | None, process: str) -> tuple[str, ...]:
    """NODE STATE TERM COMMIT APPLIED SECRETS SIDECARS PROCESS"""
    if status is None:
        return name, "does not answer", "-", "-", "-", "-", "-", process
    state = str(status["state"]) + ("" if status["ready"] else ", not ready") + ("" if status["quorum"] else ", stale")
    numbers = (str(status[key]) for key in ("term", "commit_index", "applied", "secrets", "sidecars"))
    return name, state, *numbers, process


def holding(report: Mapping[str, Any] | None, join: Callable[[Sequence[str]], str] = ", ".join) -> str:
    """What one sidecar has in its files, as its node reports it."""
    if report is None:
        return "not connected; its files stay as they are"
    placed = join([f"{name}@{version}" for name, version in sorted(report["placed"].items())]) or "nothing yet"
    notes = [str(report["error"])] if report["error"] else []
    notes += ["stale"] if report["stale"] else []
    return printable(placed + (f" ({', '.join(notes)})" if notes else ""))


def shorten(text: str, width: int = LONGEST) -> str:
    """With an ellipsis in the middle if it is longer: names differ at their ends as often as at their beginnings."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def few(names: Sequence[str]) -> str:
    """The first of them, shortened, and how many there are besides."""
    more = [f"{len(names) - FEW} more"] if len(names) > FEW else []
    return ", ".join([*map(shorten, names[:FEW]), *more])


def _table(*head: str) -> Table:
    return Table(*head, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def picture(snapshot: Snapshot, safe: str = "safe") -> RenderableType:
    """All of it, for rich. `safe`: how that is called here."""
    nodes = _table("node", "state", "term", "commit", "applied", "secrets", "sidecars", "")
    for name, status in snapshot.nodes.items():
        row = node_row(name, status, snapshot.processes.get(name, ""))
        style = "red" if status is None else "bold" if status is snapshot.leader else ""
        nodes.add_row(*(Text(cell) for cell in row), style=style)
    pods = _table("workload", "node", "holds")
    for name, report in snapshot.sidecars.items():
        pods.add_row(Text(name), Text(str(report["node"]) if report else "-"), Text(holding(report, few)))
    secrets = _table("secret", "version", "given to")
    for record in snapshot.secrets:
        row = (shorten(record["name"]), str(record["version"]), few(record["grants"]) or "nobody yet")
        if record["deleted"]:
            row = (row[0], f"{row[1]} deleted", row[2])
        cells = (Text(printable(cell), no_wrap=True, overflow="ellipsis") for cell in row)
        secrets.add_row(*cells, style="dim" if record["deleted"] else "")
    parts: list[RenderableType] = [Text(headline(snapshot), style="bold"), Text(), nodes, Text(), pods]
    if snapshot.secrets:
        parts += [Text(), secrets, *([Text(f"... and more: {safe} list")] if snapshot.more else [])]
    return Group(*parts)


def changes(before: Snapshot | None, after: Snapshot) -> list[str]:
    """What a person would want to be told, a line each. Deaths and restarts are told by the supervisor."""
    lines = []
    if before is None or headline(before) != headline(after):
        lines.append(headline(after))
    for name, report in after.sidecars.items():
        old = before.sidecars.get(name) if before else None
        if before is None or _gist(old) != _gist(report):
            at = f" from {report['node']}" if report else ""
            lines.append(f"{name} holds {holding(report)}{at}" if report else f"{name} is {holding(None)}")
    return lines


def _gist(report: Mapping[str, Any] | None) -> tuple[object, ...]:
    return () if report is None else (report["node"], holding(report))
