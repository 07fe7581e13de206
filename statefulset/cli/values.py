"""Where the bytes of a secret come from: standard input, files, or a hidden prompt; byte for byte as they are.

Why it exists: a value on a command line is in the shell's history and in every process list, so it never goes there.
What it refuses to do: change a byte (no newline is cut or added), or repeat in an error anything that could be a value
in the wrong place, file names included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from sidecar.wire import names
from statefulset.cli.errors import REFUSED, CliError, usage

LIMIT = names.MAX_SECRET_BYTES
FILE = 4 << 20
"""Bytes of a file that declares many: what a node takes as one body is half of it."""


def gather(
    fields: Sequence[str],
    from_files: Sequence[tuple[str, Path]],
    file: Path | None,
    stdin: BinaryIO | None,
    ask: Callable[[str], str] | None,
    others: Sequence[tuple[str, bytes]] = (),
) -> dict[str, bytes]:
    """Field name -> bytes.

    `fields` are read from `file`, else from `stdin`, else by `ask(field name)` when standard input is a terminal (then
    `ask` is given and `stdin` is not touched). Without fields, from_files and `others` (which have their bytes already)
    there is one, "value".
    Raises CliError: usage (2) when the sources do not fit together, too_large (1)."""
    wanted = list(fields) or ([names.PLAIN_FIELD] if file is not None or not (from_files or others) else [])
    every = [*wanted, *(field for field, _ in from_files), *(field for field, _ in others)]
    if len(set(every)) != len(every):
        raise usage("a field is given twice", "each field has one source; `safe put --help` lists them")
    for field in every:
        if not names.is_field(field):
            raise usage(
                "a field name is not well-formed", "letters, digits, '.', '_' and '-', as in tls.crt or password"
            )
    if len(every) > names.MAX_FIELDS:
        raise usage(f"more than {names.MAX_FIELDS} fields", "split them into several secrets")
    if len(wanted) > 1 and (file is not None or ask is None):
        raise usage("one source cannot fill several fields", "give the others with --from-file FIELD=PATH")
    out: dict[str, bytes] = {}
    for field in wanted:
        if file is not None:
            out[field] = _file(f"the field {field}", file)
        elif ask is not None:
            out[field] = ask(field).encode("utf-8", "surrogateescape")
        elif stdin is None:
            raise usage("standard input is closed", "give the value there, or with --file PATH")
        else:
            out[field] = _stdin(stdin)
    for field, path in from_files:
        out[field] = _file(f"the field {field}", path)
    out |= dict(others)
    if sum(map(len, out.values())) > LIMIT:
        raise CliError(
            f"the values are larger than {LIMIT} bytes together",
            code="too_large",
            exit_code=REFUSED,
            hint="a secret holds keys and credentials; encrypt larger data with a key from here, keep it elsewhere",
        )
    return out


def _stdin(stdin: BinaryIO, limit: int = LIMIT) -> bytes:
    try:
        return stdin.read(limit + 1)
    except OSError as error:
        raise usage(f"standard input cannot be read: {error.strerror}", "or use --file PATH") from None


def read(path: Path, stdin: BinaryIO | None, what: str, *, limit: int = LIMIT) -> bytes:
    """An input, of which at most `limit` + 1 bytes are read; "-" is standard input. Raises CliError."""
    if str(path) != "-":
        return _file(what, path, limit)
    if stdin is None:
        raise usage("standard input is closed", "give the path of a file")
    return _stdin(stdin, limit)


def _file(what: str, path: Path, limit: int = LIMIT) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        hint = "--file, --from-file and their like take the path of a file; a value itself goes to standard input"
        raise usage(f"the file given for {what} cannot be read: {reason}", hint) from None
