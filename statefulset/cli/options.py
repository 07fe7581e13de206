"""What several commands share: the types of their arguments, --json, --timeout, and how they find the store.

Why it exists: `payments/db` means the same everywhere and is refused everywhere with the same words.
What it refuses to do: quote what it refuses; it may be a value typed in the wrong place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from sidecar.wire import names
from statefulset.cli import connection

if TYPE_CHECKING:
    from statefulset.cli.client import Client

    TextType = click.ParamType[str]
    FieldFileType = click.ParamType[tuple[str, Path]]
    FieldPatternType = click.ParamType[tuple[str, str]]
else:  # generic in the newest click only
    TextType = FieldFileType = FieldPatternType = click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])
_ACCOUNT = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


def is_workload(text: str) -> bool:
    """NAMESPACE/SERVICEACCOUNT, each part may be `*`."""
    namespace, slash, account = text.partition("/")
    good = (namespace == "*" or names.is_namespace(namespace)) and (account == "*" or _ACCOUNT.fullmatch(account))
    return bool(slash and good)


class SecretName(TextType):
    """NAMESPACE/NAME -> the same text."""

    name = "namespace/name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from statefulset.cli.complete import secret_names

        typed = ctx.find_root().params  # a command that is being completed is not run, so nothing is in its `obj`
        named = connection.Asked(typed.get("context") or "", cluster=bool(typed.get("context") or typed.get("account")))
        return [CompletionItem(name) for name in secret_names(incomplete, named)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not names.is_secret(str(value)):
            self.fail(
                "it is not NAMESPACE/NAME. Write for example payments/db: lower-case letters, digits, '-' and, "
                "in the name, '.'",
                param,
                ctx,
            )
        return str(value)


class Workload(TextType):
    """NAMESPACE/SERVICEACCOUNT, each part may be `*` -> the same text."""

    name = "namespace/serviceaccount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_workload(str(value)):
            self.fail(
                "it is not NAMESPACE/SERVICEACCOUNT. Write for example payments/api, or 'payments/*' (in quotes) for "
                "every service account of a namespace",
                param,
                ctx,
            )
        return str(value)


class Namespace(TextType):
    """The name of a namespace -> the same text."""

    name = "namespace"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not names.is_namespace(str(value)):
            self.fail("it is not the name of a namespace: lower-case letters, digits and '-'", param, ctx)
        return str(value)


class Context(TextType):
    """The name of a context; those of a running `safe dev` are completed."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = connection.dev_contexts(connection.dev_folder(os.environ, os.getuid()), os.getuid())
        return [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


class FieldFile(FieldFileType):
    """FIELD=PATH -> (field, path)."""

    name = "field=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        if isinstance(value, tuple):
            return value
        field, equals, path = str(value).partition("=")
        if not equals or not path or not names.is_field(field):
            self.fail("it is not FIELD=PATH. Write for example tls.key=/path/to/key.pem", param, ctx)
        return field, Path(path)


class FieldPattern(FieldPatternType):
    """FIELD=PATTERN -> (field, pattern)."""

    name = "field=pattern"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        field, equals, pattern = str(value).partition("=")
        if not equals or not pattern or not names.is_field(field):
            self.fail("it is not FIELD=PATTERN. Write for example 'password=[A-Za-z0-9]{32}'", param, ctx)
        return field, pattern


SECRET = SecretName()
WORKLOAD = Workload()
NAMESPACE = Namespace()

secret_argument = click.argument("name", type=SECRET, metavar="NAMESPACE/NAME")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too (on standard error).")
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Keep trying all servers for this long before giving up with exit code 3.",
)
local_option = click.option(
    "--local",
    is_flag=True,
    help="Let one node answer from its own copy. Works without a quorum; the answer may be out of date.",
)


def reading(function: Function) -> Function:
    """--json and --timeout."""
    return json_option(timeout_option(function))


def asked() -> connection.Asked:
    """What was said about the cluster, before the command and in the environment."""
    context = click.get_current_context(silent=True)
    found = context.find_root().obj if context is not None else None
    return found if isinstance(found, connection.Asked) else connection.Asked()


def client(timeout: float) -> Client:
    """The client for the store that the caller or the environment names, or a kubeconfig leads to. Raises CliError:
    usage, and on the way through a cluster refused and away."""
    found = connection.find(os.environ, os.getuid(), asked=asked())
    from statefulset.cli.client import Client  # httpx takes longer to import than --help should take

    return Client(found, timeout)
