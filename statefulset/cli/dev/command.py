"""`safe dev`: what is typed, what is printed, and how it ends.

Why it exists: the first command of whoever tries raftsafe. What it refuses to do: know how a cluster is run; see
harness.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from statefulset.cli import connection, output
from statefulset.cli.dev import programs, signals
from statefulset.cli.dev.errors import DevError
from statefulset.cli.errors import DONE, REFUSED, usage

if TYPE_CHECKING:
    from statefulset.cli.dev.harness import DevCluster, Options

INTERVAL: Final = 0.5
"""Seconds between two looks at the cluster."""


@click.command(short_help="Three nodes on this machine, to try it out.")
@click.option("--nodes", type=click.IntRange(1, 9), default=3, show_default=True, help="How many nodes.")
@click.option(
    "--workloads", type=click.IntRange(0, 64), default=1, show_default=True, help="How many sample workloads."
)
@click.option(
    "--dir",
    "keep",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Keep data, root key and CAs in this folder, and continue from it next time. Default: nothing is kept.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=17400,
    show_default=True,
    metavar="BASE",
    help="Node i listens on BASE + 10 i (peers), + 1 (delivery), + 2 (admins), the issuer on BASE + 900; "
    "0: any free ports. --check always takes free ones unless this is given.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give every node this setting: " + ", ".join(programs.TUNABLE) + "; {name} in it is the node's. Repeatable.",
)
@click.option("--check", is_flag=True, help="Try everything without a person, print what was seen, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --check: print the figures as JSON.")
@click.pass_context
def dev(
    ctx: click.Context,
    nodes: int,
    workloads: int,
    keep: Path | None,
    port: int,
    settings: tuple[str, ...],
    check: bool,
    as_json: bool,
) -> int:
    """Run a whole store on this machine: real nodes, real sidecars, TLS, everything but Kubernetes.

    \b
    It makes a CA and a root key, starts the nodes, a token issuer that stands in for the cluster's service accounts,
    and the sidecar of a sample workload (namespace demo, service account web) that writes to memory. In another
    terminal:
      safe put demo/db --for demo/web                asks for the value, hidden
      safe list
      safe --context safe-dev-viewer list            as somebody with that role only; likewise -editor, -revealer
                                                     and -operator. Without it you are the admin, who may do all
    Variables SAFE_* of this shell belong to another store and are not passed on to the nodes; --set is for that.
    Ctrl-C ends it and removes everything. Nothing of it is reachable from other machines.
    """
    if sys.platform != "linux":
        raise usage("`safe dev` needs Linux: tmpfs, and processes that end with their parent")
    if as_json and not check:
        raise usage("--json goes with --check")
    if check and nodes < 3:
        raise usage("--check kills a leader and goes on, which needs --nodes 3 or more")
    if check and workloads < 1:
        raise usage("--check needs a workload")
    if check and keep is not None:
        raise usage("--check begins with an empty store: leave out --dir")
    from statefulset.cli.dev.harness import Options

    if check and ctx.get_parameter_source("port") is click.core.ParameterSource.DEFAULT:
        port = 0
    given = _settings(settings, nodes)
    options = Options(nodes, workloads, keep, port, private=check, restart=not check, settings=given)
    with signals.installed(), _details():
        return _check(options, as_json) if check else _run(options)


def _settings(words: Sequence[str], nodes: int) -> dict[str, str]:
    """Raises CliError (usage)."""
    out: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in programs.TUNABLE:
            raise usage("--set is not NAME=VALUE of a setting that can be tried out", ", ".join(programs.TUNABLE))
        if key == "SAFE_AUDIT_FILE" and not (text.startswith("/") and ("{name}" in text or nodes == 1)):
            raise usage("SAFE_AUDIT_FILE is not the path of a file for each node", "write /a/folder/{name}.audit")
        out[key] = text
    return out


@contextlib.contextmanager
def _details() -> Iterator[None]:
    """Log lines that belong to an error come before its line."""
    try:
        yield
    except DevError as error:
        for line in error.details:
            output.note(line)
        raise


def _check(options: Options, as_json: bool) -> int:
    from statefulset.cli.dev.check.run import run

    return run(options, as_json)


def _run(options: Options) -> int:
    """Until a signal comes. The exit code: 0 if nothing was left behind."""
    from statefulset.cli.dev.harness import DevCluster

    teller = _Teller()
    cluster = DevCluster(options, teller)
    try:
        cluster.start()
        safe = programs.invocation(sys.argv[0])
        output.say(how_to(cluster, connection.dev_folder({}, os.getuid()), safe))
        sys.stdout.flush()
        _show(cluster, teller, safe)
    except signals.Stopped as stopped:
        signals.leave()
        _note(f"safe dev: {stopped}, stopping ...")
    finally:
        left = cluster.stop()
    for place in left:
        _note(f"safe dev: left behind: {place}")
    if not left:
        _note("safe dev: stopped" + (f"; the data is in {options.keep}" if options.keep else ", nothing is left"))
    return REFUSED if left else DONE


def _note(text: str) -> None:
    """The terminal may be gone: that is what SIGHUP is about."""
    with contextlib.suppress(OSError):
        output.note(text)


class _Teller:
    """Where lines about events go: standard error, or above the live picture while there is one."""

    def __init__(self) -> None:
        self.sink: Callable[[str], None] = _note

    def __call__(self, line: str) -> None:
        self.sink(f"{time.strftime('%H:%M:%S')}  {line}")


def how_to(cluster: DevCluster, expected: Path, safe: str) -> str:
    """What to type in another terminal. `expected`: the folder that `safe` finds by itself; `safe`: how to call it."""
    lines = [f"{len(cluster.names)} nodes are ready; admin API: {', '.join(cluster.servers())}"]
    if cluster.home.path != expected:
        lines += ["In another terminal, first:", f"  export {connection.MEMORY}={cluster.home.path.parent}"]
    lines.append("In another terminal:" if len(lines) == 1 else "then:")
    lines.append(f"  {safe} put demo/db --for demo/web          (asks for the value)")
    lines.append(f"  {safe} list")
    lines.append(
        f"  {safe} --context safe-dev-viewer list      (or -editor, -revealer, -operator: with that role only)"
    )
    for workload in cluster.workloads.values():
        lines.append(f"Files of {workload.namespace}/{workload.serviceaccount}: {workload.mount}")
    lines.append(f"Logs: {cluster.home.logs}; data (encrypted): {cluster.home.data}")
    lines.append("Ctrl-C ends it" + (", the data stays." if cluster.options.keep else " and removes everything."))
    return "\n".join(lines)


def _show(cluster: DevCluster, teller: _Teller, safe: str) -> None:
    """The live picture on a terminal, else lines on standard output. Ends with signals.Stopped only."""
    from statefulset.cli.dev import view

    if not sys.stdout.isatty():
        teller.sink = _line
        before = None
        while True:
            after = view.observe(cluster)
            for line in view.changes(before, after):
                teller(line)
            before = after
            time.sleep(INTERVAL)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    live = Live(view.picture(view.observe(cluster), safe), console=console, auto_refresh=False)
    teller.sink = lambda line: console.print(Text(output.printable(line)))
    try:
        with live:
            while True:
                live.update(view.picture(view.observe(cluster), safe), refresh=True)
                time.sleep(INTERVAL)
    except OSError:
        raise signals.Stopped(signal.SIGHUP) from None  # the terminal is gone
    finally:
        teller.sink = _note


def _line(text: str) -> None:
    output.say(text)
    sys.stdout.flush()
