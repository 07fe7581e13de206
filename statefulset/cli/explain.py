"""`safe explain`: why a workload gets a secret, or why it does not.

Why it exists: the answer is the store's own, with the rule that decided. What it refuses to do: work it out here.
"""

from __future__ import annotations

import click

from statefulset.cli import options, output


@click.command(short_help="Tell why a workload gets a secret, or does not.")
@click.argument("workload", type=options.WORKLOAD, metavar="NAMESPACE/SERVICEACCOUNT")
@click.argument("name", type=options.SECRET, metavar="[SECRET]", required=False)
@click.option("--namespace", type=options.NAMESPACE, help="Without SECRET: only the secrets of this namespace.")
@options.local_option
@options.reading
def explain(workload: str, name: str | None, namespace: str | None, local: bool, as_json: bool, timeout: float) -> None:
    """Tell why a workload gets a secret, or does not, and what to do about it.

    \b
      safe explain payments/api payments/db     this secret
      safe explain payments/api                 every secret with a grant that names the workload

    Exit code 0 when there is an answer, whatever it says.
    """
    if "*" in workload:
        raise click.BadParameter("name one workload, without *", param_hint="NAMESPACE/SERVICEACCOUNT")
    if name is not None and namespace is not None:
        raise click.UsageError("--namespace goes without SECRET")
    asked = {"secret": name, "namespace": namespace, "consistency": "local" if local else None}
    with options.client(timeout) as client:
        answer = client.read(f"/v1/explain/{workload}", {key: text for key, text in asked.items() if text is not None})
    if as_json:
        output.say_json(answer.data)
    elif not (found := answer.data["verdicts"]):
        output.note(f"nothing is granted to {workload}" + (f" in namespace {namespace}" if namespace else ""))
    else:
        rows = [
            (
                one["secret"],
                str(one["version"] or "-"),
                "yes" if one["allowed"] else "NO",
                f"{one['detail']} ({one['code']})" if one["code"] else one["detail"],
            )
            for one in found
        ]
        output.say(output.table(("SECRET", "VERSION", "GETS IT", "WHY"), rows))
        for hint in dict.fromkeys(one["hint"] for one in found if one["hint"]):
            output.note(f"hint: {hint}")
        if answer.data["total"] > len(found):
            output.note(f"{answer.data['total'] - len(found)} more: name a secret, or --namespace")
    if answer.stale:
        output.note("note: this node has no quorum now; the answer may be out of date")
