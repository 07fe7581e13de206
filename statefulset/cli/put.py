"""`safe put`: write one secret.

Why it exists: the one command that carries values, kept apart so that all care for them is in one file.
What it refuses to do: take a value as an argument, or quote an argument that should not be there.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.wire import names
from statefulset.cli import options, output, values
from statefulset.cli.errors import usage

NEVER = "a value is never an argument: give it on standard input, with --file, or at the prompt"


class PutCommand(click.Command):
    """Like any command, but what it does not understand is not printed: it may be a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        stray, meant, number = False, "", None
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            stray, meant = True, ", ".join(error.possibilities or ())
        except click.BadParameter as error:
            if not isinstance(getattr(error.param, "type", None), click.IntRange | click.FloatRange):
                raise
            number = error.param
        if number is not None:
            raise click.BadParameter("it is not a number in the range that --help names", ctx, number)
        if meant:
            raise click.UsageError(f"there is no such option; did you mean one of {meant}? And {NEVER}", ctx)
        if stray or ctx.args:
            raise click.UsageError(f"there is an argument too much; {NEVER}", ctx)
        return rest


def _not_empty(text: str) -> str:
    if not text:
        raise usage("the value is empty", "`--file /dev/null` makes an empty one; for a field, --from-file")
    return text


def _ask(field: str) -> str:
    """A hidden prompt, twice. The prompt goes to standard error, so that standard output stays the answer."""
    label = "Value" if field == "value" else f"Value of {field}"
    answer = click.prompt(
        label,
        hide_input=True,
        confirmation_prompt="Once more",
        default="",
        show_default=False,
        value_proc=_not_empty,
        err=True,
    )
    assert isinstance(answer, str)
    return answer


def _sizes(data: Mapping[str, bytes]) -> str:
    if len(data) == 1:
        return "".join(f"{len(value)} bytes" for value in data.values())
    return ", ".join(f"{field}: {len(value)} bytes" for field, value in data.items())


@click.command("put", cls=PutCommand, short_help="Write a secret.", context_settings={"allow_extra_args": True})
@options.secret_argument
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="FIELD",
    help="Name the field (default: value). Repeatable at a terminal.",
)
@click.option(
    "--file", type=click.Path(path_type=Path), metavar="PATH", help="Read the value from this file, byte for byte."
)
@click.option(
    "--from-file",
    "from_files",
    multiple=True,
    type=options.FieldFile(),
    metavar="FIELD=PATH",
    help="Add a field from a file. Repeatable.",
)
@click.option(
    "--for",
    "grants",
    multiple=True,
    type=options.WORKLOAD,
    metavar="NAMESPACE/SERVICEACCOUNT",
    help="Give it to this workload, and to no other that is not named too. Repeatable. Without it, grants stay.",
)
@click.option(
    "--if-version",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if the version is N now; 0: only if it does not exist yet.",
)
@options.reading
def put(
    name: str,
    fields: tuple[str, ...],
    file: Path | None,
    from_files: tuple[tuple[str, Path], ...],
    grants: tuple[str, ...],
    if_version: int | None,
    as_json: bool,
    timeout: float,
) -> None:
    """Write a secret: make it, or replace all its fields with a new version.

    The value comes from standard input exactly as it is (a newline at the end is kept, nothing is added), from --file,
    or, at a terminal, from a hidden prompt. It is never an argument.

    \b
      safe put payments/db --for payments/api            asks, hidden
      pwgen 32 1 | tr -d '\\n' | safe put payments/db     from a pipe
      safe put web/tls --from-file tls.crt=c.pem --from-file tls.key=k.pem --for web/nginx

    Workloads that are granted it and run now have it in their files a moment after this command returns.
    """
    ask = _ask if sys.stdin is not None and sys.stdin.isatty() else None
    client = options.client(timeout)  # before the prompt: nobody should type a value to learn that a setting is missing
    data = values.gather(fields, from_files, file, sys.stdin.buffer if sys.stdin is not None else None, ask)
    body: dict[str, Any] = {"fields": {field: base64.b64encode(value).decode() for field, value in data.items()}}
    if grants:
        body["grants"] = list(dict.fromkeys(grants))
    if if_version is not None:
        body["if_version"] = if_version
    with client:
        answer = client.change("PUT", f"/v1/secrets/{name}", body=body).data
    for field in sorted(field for field, value in data.items() if not value):
        what = "value" if field == names.PLAIN_FIELD else f"field {field}"
        output.note(f"note: the {what} is empty (0 bytes)")
    if as_json:
        output.say_json(answer)
        return
    output.say(f"{answer['name']} is at version {answer['version']} ({_sizes(data)})")
    if answer["version"] == 1 and not grants:
        output.note(f"no workload gets it yet; next: safe grant {name} NAMESPACE/SERVICEACCOUNT")
