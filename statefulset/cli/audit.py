"""`safe audit verify`: is this audit log whole, and is it genuine.

Why it exists: whoever is handed an audit log must be able to tell without trusting whoever kept it.
What it refuses to do: ask a node. It reads what it is given, also years later and on another machine.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TextIO

import click

from statefulset.cli import chains, output
from statefulset.cli.errors import REFUSED, CliError, usage

KEY_SIZE = 32


@click.group("audit", short_help="Check an audit log.")
def audit() -> None:
    """The audit log of the nodes: JSON lines on their standard output, and in SAFE_AUDIT_FILE."""


@audit.command("verify", short_help="Is an audit log whole and genuine?")
@click.argument("log", type=click.File("r", encoding="utf-8", errors="surrogateescape"), metavar="FILE|-")
@click.option(
    "--key", "key_files", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
    help="File with the audit key, as `safe-node audit-key` prints it. Repeatable: one for each root key there was.",
)  # fmt: skip
@click.option("--rotated", is_flag=True, help="The beginning of chains may be elsewhere, in older files.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def verify(log: TextIO, key_files: tuple[Path, ...], rotated: bool, as_json: bool) -> None:
    """Follow the chains in an audit log, and exit with 1 at the first line that is missing, changed or made up.

    \b
      kubectl logs -n raftsafe safe-0 | safe audit verify - --rotated
      kubectl exec -n raftsafe safe-0 -- safe-node audit-key /identity > audit.key
      safe audit verify audit.log --key audit.key

    Lines of several nodes, prefixes and lines that are no audit lines may be among them. Without --key it shows what
    got lost, but not what somebody forged who can write to the log; with it nobody can who has not got the root key or
    the audit key. What was cut off at the end shows as a chain without an end, as after a kill.

    In a file every start of a node names the last line before it, so that a start that is missing as a whole, or whose
    end was cut off, shows. Standard output cannot be read back by the node: there each start stands for itself.
    """
    keys = [_key(path) for path in key_files]
    try:
        found = chains.follow(log, keys, rotated=rotated)
    except chains.BrokenError as broken:
        raise CliError(
            f"the audit log is broken at {broken}",
            code="audit_broken",
            exit_code=REFUSED,
            hint="compare with another copy of it: standard output, the file, the log collector",
        ) from None
    if not found.lines:
        raise CliError("there is no audit line in it", code="audit_empty", exit_code=REFUSED)
    if as_json:
        output.say_json({"ok": True, "genuine": bool(keys), **dataclasses.asdict(found)})
        return
    output.say(
        f"ok: {found.lines} audit lines in {found.chains} chains, within each of them none missing, none changed"
    )
    output.say("each is genuine under the given key" if keys else "not checked for forgery: no --key was given")
    for count, what in (
        (found.open, "chains have no end: still written, killed, or cut off"),
        (found.begun_before, "chains began before this log"),
        (found.linked, "starts follow the one before them in the same file"),
        (found.unlinked, "starts name no line before them: on standard output, in a new file, or rotated away"),
        (found.left_out, "lines were left out by the nodes themselves, for want of room"),
        (found.repeated, "lines stand there twice"),
        (found.other, "other lines"),
    ):
        if count:
            output.say(f"{count} {what}")


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise usage("a --key file does not hold an audit key", "`safe-node audit-key IDENTITY_FOLDER` prints one")
    return key
