"""Step f: who must not get a secret does not, and is told why.

Why it exists: least privilege is only true if each wrong credential is refused for its own reason.
What it refuses to do: accept a refusal for another reason than the one that was arranged.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from statefulset.cli.dev.check.context import Context, Failed, Passed
from statefulset.cli.dev.issuer import SigningKey
from statefulset.cli.dev.programs import ADMIN_AUDIENCE, AUDIENCE
from statefulset.cli.errors import REFUSED

DEADLINE = 4.0
"""Seconds for the one case that is refused by silence about a secret rather than at the door."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A sidecar that must be refused with `code`."""

    name: str
    code: str
    token: str = dataclasses.field(repr=False)
    want: tuple[str, ...] = ()


def cases(context: Context) -> list[Case]:
    issuer = context.cluster.issuer
    forged, unknown = SigningKey(issuer.key.id), SigningKey()

    def web(**other: object) -> str:
        return issuer.token("demo", "web", **{"audience": AUDIENCE, "pod": "refused", **other})  # type: ignore[arg-type]

    stranger = issuer.token("demo", "stranger", audience=AUDIENCE, pod="refused")
    return [
        Case("stranger", "not_granted", stranger, ("demo/text",)),
        Case("expired", "token_expired", web(lifetime=-120)),
        Case("audience", "token_audience", web(audience=ADMIN_AUDIENCE)),
        Case("forged", "token_signature", web(key=forged)),
        Case("unknown-key", "token_key_unknown", web(key=unknown)),
    ]


def refused(context: Context) -> Passed:
    """f: each wrong credential is refused with its own reason, and nothing is written."""
    found = cases(context)
    with ThreadPoolExecutor(len(found)) as pool:
        for problem in pool.map(lambda case: _try(context, case), found):
            if problem is not None:
                raise problem
    _wrong_door(context)
    line = f"refused, each for its own reason and with nothing written: {', '.join(case.code for case in found)}"
    return Passed(f"{line}; a workload's token at the admins' door: token_audience", {"codes": [c.code for c in found]})


def _try(context: Context, case: Case) -> Failed | None:
    target = context.cluster.home.mount(f"refused-{case.name}")
    done = context.cluster.init_sidecar(case.name, case.token, target, want=case.want, deadline=DEADLINE)
    context.printed += [done.out, done.err]
    if done.code != REFUSED or f"({case.code})" not in done.err:
        seen = f"exit code {done.code}: {done.err.strip()}"
        return Failed(f"the sidecar `{case.name}` to exit with code {REFUSED} and ({case.code})", seen)
    if written := values_in(target):
        return Failed(f"nothing written for the sidecar `{case.name}`", ", ".join(written))
    return None


def values_in(target: Path) -> list[str]:
    """Files that are neither the status nor a manifest: those begin with two dots, which no secret's name does."""
    return sorted(path.name for path in target.rglob("*") if path.is_file() and not path.name.startswith(".."))


def _wrong_door(context: Context) -> None:
    """The same separation the other way round: what opens the delivery door opens no other."""
    web = context.web.token_file
    done = context.cluster.safe("list", env={"SAFE_TOKEN_FILE": str(web)})
    if done.code != REFUSED or "token_audience" not in done.err:
        raise Failed(
            "`safe list` with a workload's token to be refused (token_audience)", f"code {done.code}: {done.err}"
        )
