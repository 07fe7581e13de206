"""`safe` itself: the list of its commands, each imported when it is used.

Why it exists: `safe list` must not pay for the imports of `safe dev`.
What it refuses to do: fail as a whole because one command's packages are not installed.
"""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import version

import click
from click.core import ParameterSource

from sidecar.wire import names
from statefulset.cli.connection import NAMESPACE, Asked
from statefulset.cli.options import Context, is_workload

COMMANDS = {
    "put": "statefulset.cli.put:put",
    "patch": "statefulset.cli.put:patch",
    "apply": "statefulset.cli.apply:apply",
    "get": "statefulset.cli.secret:get",
    "list": "statefulset.cli.secret:list_",
    "history": "statefulset.cli.versions:history",
    "rollback": "statefulset.cli.versions:rollback",
    "delete": "statefulset.cli.secret:delete",
    "undelete": "statefulset.cli.secret:undelete",
    "purge": "statefulset.cli.secret:purge",
    "grant": "statefulset.cli.secret:grant",
    "revoke": "statefulset.cli.secret:revoke",
    "explain": "statefulset.cli.explain:explain",
    "status": "statefulset.cli.cluster:status",
    "sidecars": "statefulset.cli.cluster:sidecars",
    "rollout": "statefulset.cli.rollout:rollout",
    "doctor": "statefulset.cli.doctor.command:doctor",
    "seal": "statefulset.cli.seal:seal_",
    "audit": "statefulset.cli.audit:audit",
    "install": "statefulset.cli.install:install",
    "dev": "statefulset.cli.dev.command:dev",
    "chaos": "statefulset.cli.chaos:chaos",
}


class LazyGroup(click.Group):
    """Knows its commands by name and loads one when it is run (or when --help lists them)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises click.UsageError for an unknown command, with the one that was meant."""
        meant = difflib.get_close_matches(args[0], COMMANDS, 1) if args and not args[0].startswith("-") else []
        if meant and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no such command; did you mean `safe {meant[0]}`?", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            return _missing(cmd_name, error.name or "a package")
        assert isinstance(command, click.Command)
        return command


def _missing(name: str, package: str) -> click.Command:
    """Stands in for a command whose packages are not here, and says which one to install."""

    def run() -> None:
        raise click.UsageError(f"`safe {name}` needs {package}, which is not installed. pip install 'raftsafe[dev]'")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=run, short_help="(not installed)", context_settings=settings)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"safe {version('raftsafe')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option(
    "--context",
    type=Context(),
    envvar="SAFE_CONTEXT",
    metavar="NAME",
    help="Context of the kubeconfig, or of `safe dev`.",
)
@click.option(
    "-n",
    "--namespace",
    envvar="SAFE_NAMESPACE",
    default=NAMESPACE,
    show_default=True,
    metavar="NAME",
    help="Where the store is installed.",
)
@click.option(
    "--as-serviceaccount",
    "account",
    envvar="SAFE_AS_SERVICEACCOUNT",
    metavar="NAMESPACE/NAME",
    help="Act as this service account, for users of a kubeconfig who have no token.",
)
@click.pass_context
def safe(ctx: click.Context, context: str | None, namespace: str, account: str | None) -> None:
    """Keep secrets in the raftsafe store and decide which workloads get them.

    \b
    A first round:
      safe dev                                       three nodes on this machine, to try it out
      safe put payments/db --for payments/api        asks for the value, hidden
      safe get payments/db                           version, fields, who gets it
      safe rollout status payments/db --wait         until every pod has the newest version
      safe sidecars                                  which pods hold which version

    \b
    Where the store is (a running `safe dev` and a kubeconfig need none of these):
      SAFE_SERVER      https://host:8500, several separated by commas; tried in turn
      SAFE_CA_FILE     certificate of the store's server CA (default: the system's CAs)
      SAFE_TOKEN_FILE  file with your token; `kubectl create token NAME --audience raftsafe-admin` prints one

    \b
    Completion, of the names of secrets too:
      eval "$(_SAFE_COMPLETE=bash_source safe)"      in ~/.bashrc; zsh_source and fish_source likewise

    \b
    Exit codes:
      0  done
      1  the store refused: conflict, not found, forbidden, ...
      2  the command line or a setting is wrong; nothing was sent
      3  not now: no quorum, unavailable, cannot connect; trying later may help
    """
    if not names.is_namespace(namespace):
        raise click.BadParameter("it is not the name of a namespace", ctx, param_hint="--namespace")
    if account is not None and (not is_workload(account) or "*" in account):
        raise click.BadParameter("it is not NAMESPACE/NAME", ctx, param_hint="--as-serviceaccount")
    typed = ctx.get_parameter_source("namespace") is ParameterSource.COMMANDLINE
    asked = Asked(context or "", namespace, account or "", bool(context or account or typed))
    if account is not None and asked.dev:
        raise click.UsageError("--as-serviceaccount goes with a kubeconfig; a context of `safe dev` is somebody", ctx)
    ctx.obj = asked
