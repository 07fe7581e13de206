"""`safe put` and `safe patch`: write one secret, or some of its fields.

Why it exists: the commands that carry values, kept apart so that all care for them is in one file.
What it refuses to do: take a value as an argument, or quote an argument that should not be there.
"""

from __future__ import annotations

import base64
import functools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from sidecar.wire import names
from statefulset.cli import formats, generate, moments, options, output, values
from statefulset.cli.errors import usage

NEVER = "a value is never an argument: give it at the prompt, with --file, or on standard input"
Function = TypeVar("Function", bound=Callable[..., Any])


class ValueCommand(click.Command):
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


def _refuse_empty(field: str) -> None:
    what = "the value" if field == names.PLAIN_FIELD else f"the value of the field {field}"
    raise usage(f"{what} is empty", "nothing was sent; if it is to be empty, say --allow-empty")


def _ask(field: str, *, allow_empty: bool) -> str:
    """A hidden prompt, twice. The prompt goes to standard error, so that standard output stays the answer."""

    def checked(text: str) -> str:
        if not text and not allow_empty:
            _refuse_empty(field)
        return text

    label = "Value" if field == "value" else f"Value of {field}"
    answer = click.prompt(
        label,
        hide_input=True,
        confirmation_prompt="Once more",
        default="",
        show_default=False,
        value_proc=checked,
        err=True,
    )
    assert isinstance(answer, str)
    return answer


def _sizes(data: Mapping[str, bytes]) -> str:
    if len(data) == 1:
        return "".join(output.size(len(value)) for value in data.values())
    return ", ".join(f"{field}: {output.size(len(value))}" for field, value in data.items())


SOURCES = (
    click.option(
        "--field",
        "fields",
        multiple=True,
        metavar="FIELD",
        help="Name the field (default: value). Repeatable at a terminal.",
    ),
    click.option(
        "--file", type=click.Path(path_type=Path), metavar="PATH", help="Read the value from this file, byte for byte."
    ),
    click.option(
        "--from-file",
        "from_files",
        multiple=True,
        type=options.FieldFile(),
        metavar="FIELD=PATH",
        help="Add a field from a file. Repeatable.",
    ),
    click.option(
        "--from-dir",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Add a field from each file of a folder, by its name.",
    ),
    click.option(
        "--from-env-file",
        "from_env",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Add fields from the NAME=VALUE lines of a .env file; - is standard input.",
    ),
    click.option(
        "--from-json",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Add fields from a JSON object of texts; - is standard input.",
    ),
    click.option(
        "--generate",
        "patterns",
        multiple=True,
        type=options.FieldPattern(),
        metavar="FIELD=PATTERN",
        help="Add a field with a random value, as in 'password=[A-Za-z0-9]{32}'. Repeatable.",
    ),
    click.option("--show-generated", is_flag=True, help="Print what --generate made, FIELD=VALUE, to standard output."),
    click.option("--allow-empty", is_flag=True, help="Take an empty value too; without it that is a mistake."),
)
WINDOW = (
    click.option(
        "--not-before",
        type=moments.MOMENT,
        metavar="TIME",
        help="Nobody gets it before. RFC 3339, a time from now such as 2h, or never.",
    ),
    click.option(
        "--expires",
        type=moments.MOMENT,
        metavar="TIME",
        help="Nobody gets it after. RFC 3339, a time from now such as 30d, or never.",
    ),
)


def with_options(decorators: tuple[Callable[[Any], Any], ...]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


class Given:
    """The values of one command: `data` by field, and which of them were `generated`. Raises CliError."""

    def __init__(
        self,
        fields: tuple[str, ...],
        file: Path | None,
        from_files: tuple[tuple[str, Path], ...],
        from_dir: Path | None,
        from_env: Path | None,
        from_json: Path | None,
        patterns: tuple[tuple[str, str], ...],
        show_generated: bool,
        allow_empty: bool,
    ) -> None:
        stdin = sys.stdin.buffer if sys.stdin is not None else None
        ask = None
        if sys.stdin is not None and sys.stdin.isatty():
            ask = functools.partial(_ask, allow_empty=allow_empty)
        whole = [path for path in (from_env, from_json) if path is not None and str(path) == "-"]
        if len(whole) > 1 or (whole and (fields or file is not None)):
            raise usage("standard input is asked for twice", "give all but one of them as files")
        made = [(field, generate.make(pattern)) for field, pattern in patterns]
        others = list(made)
        if from_env is not None:
            others += formats.from_env(values.read(from_env, stdin, "--from-env-file"))
        if from_json is not None:
            others += formats.from_json(values.read(from_json, stdin, "--from-json"))
        said = {field for field, _ in others}  # where an empty text stands written out
        if from_dir is not None:
            others += formats.from_folder(from_dir, values.LIMIT)
        self.data = values.gather(fields, from_files, file, stdin, ask, others)
        for field, value in self.data.items():
            if not value and not allow_empty and field not in said:
                _refuse_empty(field)
        self.generated = dict(made)
        self.weak = [field for field, pattern in patterns if generate.bits(generate.parse(pattern)) < generate.WEAK]
        self.shown = show_generated

    def encoded(self) -> dict[str, str]:
        return {field: base64.b64encode(value).decode() for field, value in self.data.items()}

    def tell(self, answer: dict[str, Any], text: str, as_json: bool) -> None:
        """What came of it, on standard output; what is odd about the values, on standard error."""
        for field in sorted(field for field, value in self.data.items() if not value):
            output.note(f"note: the {'value' if field == names.PLAIN_FIELD else f'field {field}'} is empty (0 bytes)")
        for field in self.weak:
            output.note(f"note: the pattern of {field} has less than {generate.WEAK:.0f} bits of randomness")
        shown = {field: value.decode() for field, value in self.generated.items()} if self.shown else {}
        if as_json:
            output.say_json({**answer, "generated": shown} if shown else answer)
            return
        output.say(text)
        for field, value in shown.items():
            output.say(f"{field}={value}")


def window_of(not_before: int | str | None, expires: int | str | None) -> dict[str, int | None]:
    given = {"not_before_ms": not_before, "expires_ms": expires}
    return {key: moments.bound(value) for key, value in given.items() if value is not None}


@click.command("put", cls=ValueCommand, short_help="Write a secret.", context_settings={"allow_extra_args": True})
@options.secret_argument
@with_options(SOURCES)
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
@with_options(WINDOW)
@click.option("--keep-window", is_flag=True, help="Keep each bound of the window that is not named here.")
@options.reading
def put(
    name: str,
    grants: tuple[str, ...],
    if_version: int | None,
    not_before: int | str | None,
    expires: int | str | None,
    keep_window: bool,
    as_json: bool,
    timeout: float,
    **sources: Any,
) -> None:
    """Write a secret: make it, or replace all its fields with a new version.

    At a terminal it asks for the value, hidden, twice. Else the value is standard input exactly as it is (a newline at
    the end is kept, nothing is added); or it comes from files, or from a pattern. It is never an argument, and has no
    business in `echo VALUE | safe put` either: the shell keeps that line.

    \b
      safe put payments/db --for payments/api            asks
      safe put payments/db < password.txt
      safe put payments/db --generate 'value=[A-Za-z0-9]{32}'
      safe put web/tls --from-file tls.crt=c.pem --from-file tls.key=k.pem --for web/nginx --expires 90d
      safe put web/env --from-env-file .env              one field for each line

    Without --not-before and --expires the new version is valid always, whatever the one before was; --keep-window
    keeps it. An empty value is refused without --allow-empty: mostly it is what a command that failed has left.
    Workloads that are granted it and run now have it in their files a moment after this command returns.
    """
    client = options.client(timeout)  # before the prompt: nobody should type a value to learn that a setting is missing
    given = Given(**sources)
    body: dict[str, Any] = {"fields": given.encoded(), **window_of(not_before, expires)}
    if keep_window:
        body["keep_window"] = True
    if grants:
        body["grants"] = list(dict.fromkeys(grants))
    if if_version is not None:
        body["if_version"] = if_version
    with client:
        answer = client.change("PUT", f"/v1/secrets/{name}", body=body).data
    if answer.get("window_cleared"):
        output.note(f"note: {name} was valid for a time only and is valid always now; --keep-window keeps that")
    given.tell(answer, f"{answer['name']} is at version {answer['version']} ({_sizes(given.data)})", as_json)
    if answer["version"] == 1 and not grants and not as_json:
        output.note(f"no workload gets it yet; next: safe grant {name} NAMESPACE/SERVICEACCOUNT")


@click.command("patch", cls=ValueCommand, short_help="Change some fields.", context_settings={"allow_extra_args": True})
@options.secret_argument
@with_options(SOURCES)
@click.option("--remove", multiple=True, metavar="FIELD", help="Remove this field. Repeatable.")
@click.option("--if-version", type=click.IntRange(min=1), metavar="N", help="Only if the version is N now.")
@with_options(WINDOW)
@options.reading
def patch(
    name: str,
    remove: tuple[str, ...],
    if_version: int | None,
    not_before: int | str | None,
    expires: int | str | None,
    as_json: bool,
    timeout: float,
    **sources: Any,
) -> None:
    """Change or remove single fields of a secret without sending the others, or change when it is valid.

    \b
      safe patch payments/db --generate 'password=[A-Za-z0-9]{32}'
      safe patch payments/db --field user < user.txt
      safe patch payments/db --remove old-password --expires never

    Values come from where `safe put` takes them. Nothing that others change at the same time is lost. A change of the
    window alone makes no new version.
    """
    client = options.client(timeout)
    window = window_of(not_before, expires)
    given = Given(**sources) if any(sources.values()) or not (remove or window) else None
    if not all(map(names.is_field, remove)):
        raise usage("--remove does not name a field", "letters, digits, '.', '_' and '-'")
    if given is not None and set(remove) & set(given.data):
        raise usage("a field is given a value and removed", "decide for one of them")
    body: dict[str, Any] = dict(window)
    if given is not None or remove:
        body["fields"] = {**(given.encoded() if given is not None else {}), **dict.fromkeys(remove)}
    if if_version is not None:
        body["if_version"] = if_version
    with client:
        answer = client.change("PATCH", f"/v1/secrets/{name}", body=body).data
    changed = [_sizes(given.data)] if given is not None else []
    changed += [f"without {', '.join(remove)}"] if remove else []
    text = f"{answer['name']} is at version {answer['version']} ({'; '.join(changed) or 'window changed'})"
    if isinstance(expires, int) and expires <= time.time() * 1000:  # a put with such an end is refused by the node
        output.note(f"warning: {name} has expired with this: no workload gets it any more")
    if given is not None:
        given.tell(answer, text, as_json)
    elif as_json:
        output.say_json(answer)
    else:
        output.say(text)
