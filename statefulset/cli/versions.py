"""The commands about what a secret was and is: history, rollback, and get --reveal.

Why it exists: the only place of the CLI that receives a value.
What it refuses to do: put one on a terminal unasked, or add a byte to it.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import click

from statefulset.cli import options, output
from statefulset.cli.errors import REFUSED, CliError, usage


def reveal(
    name: str,
    field: str | None,
    version: int | None,
    to_terminal: bool,
    consistency: dict[str, str],
    as_json: bool,
    timeout: float,
) -> None:
    """Writes the value of one field as it is, or all of them as JSON, in base64. Raises CliError."""
    screen = sys.stdout is not None and sys.stdout.isatty()
    if screen and not to_terminal:
        raise usage(
            "standard output is a terminal, which may keep and show what it was sent",
            "send it where it is needed (| xclip, > /dev/shm/file), or say --to-terminal",
        )
    params = {"version": str(version)} if version is not None else {}
    params |= {"field": field} if field is not None else {}
    with options.client(timeout) as client:
        answer = client.read(f"/v1/secrets/{name}/value", {**params, **consistency})
    fields: dict[str, str] = answer.data["fields"]
    if answer.stale:
        output.note("note: this node has no quorum now; the value may be out of date")
    if as_json:
        output.say_json(answer.data)
        return
    if len(fields) != 1:
        raise usage(f"{name} has several fields: {', '.join(sorted(fields))}", "name one with --field, or use --json")
    value = base64.b64decode(next(iter(fields.values())))
    if screen:
        output.say(value.decode("utf-8", "replace"))
    else:
        output.say_bytes(value)


@click.command(short_help="Show the versions that are kept.")
@options.secret_argument
@options.local_option
@options.reading
def history(name: str, local: bool, as_json: bool, timeout: float) -> None:
    """Show the versions of a secret that are kept, the newest first: since when, and which fields."""
    with options.client(timeout) as client:
        answer = client.read(f"/v1/secrets/{name}/history", {"consistency": "local"} if local else {})
    if as_json:
        output.say_json(answer.data)
    else:
        rows = [
            (
                str(version["version"]),
                output.when(version["created_ms"]),
                ", ".join(f"{field['name']} ({output.size(field['size'])})" for field in version["fields"]),
                _state(number, answer.data["deleted"]),
            )
            for number, version in enumerate(answer.data["versions"])
        ]
        output.say(output.table(("VERSION", "SINCE", "FIELDS", "STATE"), rows))
    if answer.stale:
        output.note("note: this node has no quorum now; the answer may be out of date")


def _state(number: int, deleted: bool) -> str:
    if number:
        return "kept"
    return "deleted" if deleted else "current"


@click.command(short_help="Bring an older version back.")
@options.secret_argument
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="The version to bring back; without it the last.")
@click.option("--if-version", type=click.IntRange(min=1), metavar="N", help="Only if the version is N now.")
@options.reading
def rollback(name: str, to: int | None, if_version: int | None, as_json: bool, timeout: float) -> None:
    """Bring the fields of an older version back, as a new version. Grants and window stay as they are.

    `safe history` shows which there are. Without --to it is the one before the current; twice is back again.
    """
    with options.client(timeout) as client:
        if to is None:
            versions: list[dict[str, Any]] = client.read(f"/v1/secrets/{name}/history", patient=True).data["versions"]
            if len(versions) < 2:
                hint = "there is nothing to go back to; put a new value"
                raise CliError(f"no older version of {name} is kept", code="not_found", exit_code=REFUSED, hint=hint)
            # What was looked at is what is replaced, or nothing is.
            to, if_version = versions[1]["version"], if_version or versions[0]["version"]
        body = {"to": to} if if_version is None else {"to": to, "if_version": if_version}
        answer = client.change("POST", f"/v1/secrets/{name}/rollback", body=body).data
    if as_json:
        output.say_json(answer)
    else:
        output.say(f"{name} is at version {answer['version']}, with the fields of version {to}")
