"""The commands about one secret or the list of them: get, list, delete, undelete, purge, grant, revoke.

Why it exists: thin; each asks the admin API once and prints the answer (revoke looks before, to say what it took).
What it refuses to do: show a value that was not asked for with --reveal.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from statefulset.cli import options, output, versions
from statefulset.cli.errors import REFUSED, CliError, usage

if TYPE_CHECKING:
    from statefulset.cli.client import Client

PAGE = 500
"""Secrets a request of `safe list`: some 200 KiB of JSON, far from what would keep a node busy."""


def _consistency(local: bool) -> dict[str, str]:
    return {"consistency": "local"} if local else {}


def _warn(stale: bool) -> None:
    if stale:
        output.note("note: this node has no quorum now; the answer may be out of date")


def _validity(record: dict[str, Any]) -> str:
    if record["deleted"]:
        return "deleted"
    start, end = record["not_before_ms"], record["expires_ms"]
    if start is None and end is None:
        return "always"
    return f"from {output.when(start)} until {output.when(end)}".replace("from - ", "").replace(" until -", "")


def describe(record: dict[str, Any]) -> str:
    """One secret's metadata for people."""
    fields = ", ".join(f"{field['name']} ({output.size(field['size'])})" for field in record["fields"])
    items = [
        ("name", record["name"]),
        ("version", str(record["version"])),
        ("fields", fields or "-"),
        ("given to", ", ".join(record["grants"]) or "nobody yet (safe grant)"),
        ("created", output.when(record["created_ms"])),
        ("updated", output.when(record["updated_ms"])),
        ("valid", _validity(record)),
    ]
    if record["deleted"]:
        items.append(("next", f"safe undelete {record['name']} brings it back"))
    return output.pairs(items)


@click.command(short_help="Show version, fields and grants of a secret.")
@options.secret_argument
@click.option("--reveal", is_flag=True, help="Write the value itself. Needs a right of its own and is audited.")
@click.option("--field", metavar="FIELD", help="With --reveal: this field. Needed if there are several.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="With --reveal: an older version.")
@click.option("--to-terminal", is_flag=True, help="With --reveal: also if that shows it on a screen.")
@options.local_option
@options.reading
def get(
    name: str,
    reveal: bool,
    field: str | None,
    version: int | None,
    to_terminal: bool,
    local: bool,
    as_json: bool,
    timeout: float,
) -> None:
    """Show what is known of a secret: version, fields and their sizes, who gets it.

    \b
      safe get payments/db
      safe get payments/db --reveal --field password | xclip

    The value comes with --reveal only, byte for byte and without a newline; it needs the right to get
    safesecrets/value, and the audit log says who read which version. To a terminal it goes only if told to.
    """
    if reveal:
        versions.reveal(name, field, version, to_terminal, _consistency(local), as_json, timeout)
        return
    if field is not None or version is not None or to_terminal:
        raise usage(
            "--field, --version and --to-terminal need --reveal", "or leave them out to see what is known of it"
        )
    with options.client(timeout) as client:
        answer = client.read(f"/v1/secrets/{name}", _consistency(local))
    if as_json:
        output.say_json(answer.data)
    else:
        output.say(describe(answer.data))
    _warn(answer.stale)


@click.command("list", short_help="List secrets.")
@click.option("--namespace", type=options.NAMESPACE, help="Only the secrets of this namespace.")
@click.option("--prefix", metavar="TEXT", help="Only names (the part after the slash) that begin so.")
@click.option(
    "--for", "workload", type=options.WORKLOAD, metavar="NAMESPACE/SERVICEACCOUNT", help="Only what this workload gets."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="No more than N. Default: all there are.")
@click.option("--after", type=options.SECRET, metavar="NAMESPACE/NAME", help="Only names after this one.")
@options.local_option
@options.reading
def list_(
    namespace: str | None,
    prefix: str | None,
    workload: str | None,
    limit: int | None,
    after: str | None,
    local: bool,
    as_json: bool,
    timeout: float,
) -> None:
    """List secrets with version, age and grants, in the order of their names. Never values."""
    given = {"namespace": namespace, "prefix": prefix, "after": after}
    params = {key: text for key, text in given.items() if text} | _consistency(local)
    # One more than asked for shows whether there are more.
    with options.client(timeout) as client:
        found, stale = _listed(client, params, workload, None if limit is None else limit + 1)
    more = limit is not None and len(found) > limit
    found = found[:limit]
    if as_json:
        output.say_json({"secrets": found, "next": found[-1]["name"] if more else None})
    elif found:
        rows = [
            (
                record["name"],
                f"{record['version']} deleted" if record["deleted"] else str(record["version"]),
                output.when(record["updated_ms"]),
                _validity(record),
                ",".join(record["grants"]) or "-",
            )
            for record in found
        ]
        output.say(output.table(("NAME", "VERSION", "UPDATED", "VALID", "GIVEN TO"), rows))
    else:
        some = namespace or prefix or workload or after
        output.note("no secret matches" if some else "no secrets here yet; make one with `safe put NAMESPACE/NAME`")
    if more and not as_json:
        output.note(f"there are more; next: --after {found[-1]['name']}")
    _warn(stale)


def _listed(
    client: Client, params: dict[str, str], workload: str | None, wanted: int | None
) -> tuple[list[dict[str, Any]], bool]:
    """Page after page until there are `wanted` that reach the workload, or no more; and whether a page may be old."""
    found: list[dict[str, Any]] = []
    params = {**params, "limit": str(PAGE if wanted is None or workload else min(PAGE, wanted))}
    stale = False
    while True:
        answer = client.read("/v1/secrets", params)
        found += [record for record in answer.data["secrets"] if _reaches(record["grants"], workload)]
        stale = stale or answer.stale
        if not answer.data["next"] or (wanted is not None and len(found) >= wanted):
            return found[:wanted], stale
        params["after"] = answer.data["next"]


def _done(answer: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        output.say_json(answer)
    else:
        output.say(text)


@click.command(short_help="Delete a secret.")
@options.secret_argument
@click.option("--if-version", type=click.IntRange(min=1), metavar="N", help="Only if the version is N now.")
@options.reading
def delete(name: str, if_version: int | None, as_json: bool, timeout: float) -> None:
    """Delete a secret: workloads lose it at once. It can be brought back with `safe undelete`."""
    params = {} if if_version is None else {"if_version": str(if_version)}
    with options.client(timeout) as client:
        answer = client.change("DELETE", f"/v1/secrets/{name}", params).data
    _done(answer, as_json, f"{name} is deleted; `safe undelete {name}` brings it back")


@click.command(short_help="Bring a deleted secret back.")
@options.secret_argument
@options.reading
def undelete(name: str, as_json: bool, timeout: float) -> None:
    """Bring a deleted secret back: workloads it is granted to get it again."""
    with options.client(timeout) as client:
        answer = client.change("POST", f"/v1/secrets/{name}/undelete").data
    _done(answer, as_json, f"{name} is back, at version {answer['version']}")


@click.command(short_help="Remove a secret for good.")
@options.secret_argument
@click.option("--if-version", type=click.IntRange(min=1), metavar="N", help="Only if the version is N now.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed where there is no terminal to ask at.")
@options.reading
def purge(name: str, if_version: int | None, yes: bool, as_json: bool, timeout: float) -> None:
    """Remove a secret with all its versions and grants. Nothing brings it back; `safe delete` is the gentle way."""
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise usage("purging cannot be undone and nobody can be asked here", "say --yes if you mean it")
        if not click.confirm(f"Remove {name} and all its versions for good?", err=True):
            raise CliError("not confirmed; nothing was sent", code="stopped", exit_code=REFUSED)
    params = {} if if_version is None else {"if_version": str(if_version)}
    with options.client(timeout) as client:
        answer = client.change("POST", f"/v1/secrets/{name}/purge", params).data
    _done(answer, as_json, f"{name} is gone")


workloads_argument = click.argument(
    "workloads", type=options.WORKLOAD, nargs=-1, required=True, metavar="NAMESPACE/SERVICEACCOUNT..."
)


@click.command(short_help="Give a secret to workloads.")
@options.secret_argument
@workloads_argument
@options.reading
def grant(name: str, workloads: tuple[str, ...], as_json: bool, timeout: float) -> None:
    """Give a secret to workloads: pods of that namespace which run as that service account.

    \b
      safe grant payments/db payments/api
      safe grant payments/db 'payments/*'     every service account of the namespace; the quotes are for your shell
    """
    wanted = list(dict.fromkeys(workloads))
    with options.client(timeout) as client:
        answer = client.change("POST", f"/v1/secrets/{name}/grants", body={"add": wanted}).data
    _done(answer, as_json, f"{name} is given to {', '.join(wanted)}")


@click.command(short_help="Take a secret back from workloads.")
@options.secret_argument
@workloads_argument
@options.reading
def revoke(name: str, workloads: tuple[str, ...], as_json: bool, timeout: float) -> None:
    """Take a secret back from workloads: it goes from their files at once.

    A grant is taken by the name it was given. Exit code 0: these grants are gone; a warning names each wildcard that
    still reaches one of the workloads, and how to take that too. 1: one of them was not there; the others are gone.

    What a workload has read it knows: put a new value too, if it must not be used any more.
    """
    wanted = list(dict.fromkeys(workloads))
    with options.client(timeout) as client:
        before = _granted(client, name)
        answer = client.change("POST", f"/v1/secrets/{name}/grants", body={"remove": wanted}).data
    came = came_of(wanted, before, answer["grants"])
    still = [{"workload": workload, "grant": grant} for workload, grant in came.still]
    try:
        if came.taken:
            _done({**answer, "still": still}, as_json, "\n".join(came.lines(name)))
    finally:  # also when nobody reads what is printed
        reached = [f"{workload} still gets {name}, through {grant}" for workload, grant in came.still]
        for line, (_, grant) in zip(() if as_json else reached, came.still, strict=False):
            output.note(f"warning: {line}; to take that too: safe revoke {name} {shlex.quote(grant)}")
        if came.absent:
            said = [f"{name} was not granted to {', '.join(came.absent)} by that name", *(reached if as_json else ())]
            hint = f"`safe get {name}` shows its grants" + ("; the others are taken back" if came.taken else "")
            raise CliError("; ".join(said), code="not_granted", exit_code=REFUSED, hint=hint)


def _granted(client: Client, name: str) -> list[str]:
    """Who gets it now. Raises CliError as a change does."""
    try:
        return list(client.read(f"/v1/secrets/{name}", patient=True).data["grants"])
    except CliError as error:
        if error.code == "no_quorum":  # the node's hint is one for reads
            error.hint = "nothing was changed; this works again when a majority of nodes is back"
        raise


def _covers(grant: str, workload: str) -> bool:
    """Whether a grant that is left still reaches a workload, by a wildcard."""
    return all(part in ("*", word) for part, word in zip(grant.split("/"), workload.split("/"), strict=True))


def _reaches(grants: Sequence[str], workload: str | None) -> bool:
    return workload is None or any(_covers(grant, workload) for grant in grants)


@dataclasses.dataclass(frozen=True)
class Revoked:
    """What came of taking grants back. `gone`: who lost it; `narrowed`: whose grant is gone and who still gets it;
    `absent`: who had no grant by that name; `still`: (workload, grant) for each one named and each wildcard left."""

    gone: tuple[str, ...]
    narrowed: tuple[str, ...]
    absent: tuple[str, ...]
    still: tuple[tuple[str, str], ...]

    @property
    def taken(self) -> bool:
        return bool(self.gone or self.narrowed)

    def lines(self, name: str) -> list[str]:
        """For people. Who still gets it is never said to have lost it."""
        out = [f"{name} is no longer given to {', '.join(self.gone)}"] if self.gone else []
        return out + [f"{name}: the grant to {workload} is taken back" for workload in self.narrowed]


def came_of(workloads: Sequence[str], before: Sequence[str], after: Sequence[str]) -> Revoked:
    """`before` and `after`: the grants."""
    still = tuple((workload, grant) for workload in workloads for grant in after if _covers(grant, workload))
    reached = {workload for workload, _ in still}
    held = [workload for workload in workloads if workload in before]
    return Revoked(
        gone=tuple(workload for workload in held if workload not in reached),
        narrowed=tuple(workload for workload in held if workload in reached),
        absent=tuple(workload for workload in workloads if workload not in before),
        still=still,
    )
