"""`safe seal`: a SafeSecret manifest whose values only the cluster can open.

Why it exists: GitOps wants everything in git, and a value in the clear is not allowed there.
What it refuses to do: send a value anywhere. The public key comes from the store or from a file, so sealing needs no
right and, with the file, no access.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click
import yaml

from statefulset.cli import options, output
from statefulset.cli.errors import usage
from statefulset.cli.put import SOURCES, WINDOW, Given, ValueCommand, window_of, with_options
from statefulset.cli.sealing import public_key, seal

POLICIES = ("Delete", "Retain")
_WORDS = {"not_before_ms": "notBefore", "expires_ms": "expires"}


def manifest(
    name: str, sealed: dict[str, str], grants: tuple[str, ...], window: dict[str, int | None], policy: str
) -> dict[str, Any]:
    """The custom resource, raftsafe.io/v1alpha1 (statefulset/base/crd.yaml). Times of the window in ms since 1970."""
    namespace, _, own = name.partition("/")
    spec: dict[str, Any] = {"sealed": sealed}
    if grants:
        spec["grants"] = list(dict.fromkeys(grants))
    for key, moment in window.items():
        if moment is not None:
            time = datetime.datetime.fromtimestamp(moment / 1000, datetime.UTC)
            spec[_WORDS[key]] = time.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "raftsafe.io/v1alpha1",
        "kind": "SafeSecret",
        "metadata": {"name": own, "namespace": namespace},
        "spec": spec | {"deletionPolicy": policy},
    }


@click.command("seal", cls=ValueCommand, short_help="Seal values for git.", context_settings={"allow_extra_args": True})
@click.argument("name", type=options.SECRET, metavar="NAMESPACE/NAME", required=False)
@with_options(SOURCES)
@click.option(
    "--for",
    "grants",
    multiple=True,
    type=options.WORKLOAD,
    metavar="NAMESPACE/SERVICEACCOUNT",
    help="Give it to this workload. Repeatable. Without it the store's grants stay as they are.",
)
@with_options(WINDOW)
@click.option(
    "--deletion-policy",
    type=click.Choice(POLICIES),
    default="Delete",
    show_default=True,
    help="What becomes of the secret in the store when the manifest is deleted.",
)
@click.option(
    "--key", type=click.Path(path_type=Path), metavar="PATH", help="The store's public key; else the store is asked."
)
@click.option("--print-key", is_flag=True, help="Print the store's public key, to be kept beside the manifests.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, metavar="SECONDS", help="For the store.")
def seal_(
    name: str | None,
    grants: tuple[str, ...],
    not_before: int | str | None,
    expires: int | str | None,
    deletion_policy: str,
    key: Path | None,
    print_key: bool,
    timeout: float,
    **sources: Any,
) -> None:
    """Print a SafeSecret for git. Its values open in this store only, and only as these fields of this secret.

    \b
      safe seal --print-key > sealing.pub
      safe seal payments/db --key sealing.pub --for payments/api < password > db.yaml
      kubectl apply -f db.yaml

    Values come from where `safe put` takes them; nothing is sent. Sealing the same value again gives another text.
    """
    text = _key_text(key, timeout)
    if print_key:
        output.say(text.strip())
        return
    if name is None:
        raise usage("there is no name", "say for which secret: safe seal NAMESPACE/NAME")
    given = Given(**sources)
    sealed = seal(public_key(text), name, given.data)
    document = manifest(name, sealed, grants, window_of(not_before, expires), deletion_policy)
    output.say(yaml.safe_dump(document, sort_keys=False).strip())


def _key_text(key: Path | None, timeout: float) -> str:
    if key is None:
        with options.client(timeout) as client:
            found: str = client.read("/v1/sealing-key").data["key"]
            return found
    try:
        return key.read_text("ascii")
    except (OSError, ValueError):
        raise usage("the file with the public key cannot be read", "`safe seal --print-key` writes one") from None
