"""`safe apply -f FILE`: make secrets as a file declares them.

Why it exists: many secrets in one step, all of them or none, as often as one likes.
What it refuses to do: delete what the file does not name.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from statefulset.cli import options, output, values
from statefulset.cli.errors import usage


def _input(path: Path) -> bytes:
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    data = values.read(path, stdin, "-f", limit=values.FILE)
    if len(data) > values.FILE:
        raise usage(f"the file is larger than {values.FILE} bytes", "make it several")
    return data


@click.command(short_help="Make secrets as a file declares them.")
@click.option(
    "-f", "--file", "path", type=click.Path(path_type=Path), required=True, metavar="PATH", help="- is standard input."
)
@options.reading
def apply(path: Path, as_json: bool, timeout: float) -> None:
    """Make secrets as a file (YAML or JSON) declares them: all of them or, if one is refused, none.

    \b
      secrets:
        payments/db:
          fields:
            user: app                      a text, as it stands there
            password: {file: db.pw}        a file, by its path from here
            key: {base64: aGVsbG8=}
          for: [payments/api]              exactly these; without it, whoever gets it now
          expires: 2027-01-31T00:00:00Z    or never; without it, and not-before, as it is now
        payments/token:
          value: s3cret                    short for one field of that name

    Running it again changes nothing: what is there already is left alone and no version is made. A file with values in
    it is a secret itself; keep it in memory (/dev/shm) or name other files in it.
    """
    from statefulset.cli import declared
    from statefulset.cli.client import APPLY

    beside = Path() if str(path) == "-" else path.parent
    data = _input(path)

    def read_file(name: str) -> bytes:
        return values.read(beside / name, None, "a field")

    body = declared.body(data, read_file)
    with options.client(timeout) as client:
        answer = client.change("POST", APPLY, body=body).data
    if as_json:
        output.say_json(answer)
        return
    rows = [(one["name"], str(one["version"]), one["result"]) for one in answer["secrets"]]
    output.say(output.table(("NAME", "VERSION", "RESULT"), rows))
