"""`safe doctor`: one line a check, worst first, with the remedy.

Why it exists: what is wrong, in ten seconds, for whoever was woken. What it refuses to do: repair anything.
"""

from __future__ import annotations

import dataclasses

import click

from statefulset.cli import options, output
from statefulset.cli.errors import DONE, REFUSED


@click.command(short_help="Look for what is wrong with an installation.")
@options.json_option
@options.timeout_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, timeout: float) -> None:
    """Look for what is wrong with an installation, and say what to do about it.

    With a kubeconfig everything is looked at: what is installed, the nodes, certificates, clocks, rights, the webhook,
    storage, sidecars, SafeSecrets. In a safe pod, or with `safe dev`, what the nodes know; the rest is `skipped`, with
    the reason.

    Exit code 0: nothing has failed (warnings are allowed); 1: something has; 3: neither a node nor the API server could
    be asked.
    """
    from statefulset.cli.doctor.findings import examine, summary
    from statefulset.cli.doctor.gather import here

    facts = here(options.asked(), timeout)
    found = examine(facts)
    failed = any(each.level == "FAIL" for each in found)
    if as_json:
        checks = [dataclasses.asdict(each) for each in found]
        output.say_json({"ok": not failed, "summary": summary(found), "where": facts.where, "checks": checks})
    else:
        output.say(f"{summary(found)}   ({facts.where})")
        rows = [(each.level, each.check, each.what + (f" -> {each.remedy}" if each.remedy else "")) for each in found]
        output.say(output.table(("", "CHECK", "FOUND -> REMEDY"), rows))
    ctx.exit(REFUSED if failed else DONE)
