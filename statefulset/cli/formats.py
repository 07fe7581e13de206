"""Several fields from one text: a JSON object, a .env file, a folder with a file for each field.

Why it exists: secrets arrive in these three shapes, and a value must come out as it was meant, byte for byte.
What it refuses to do: guess. Where tools read a .env file differently it is refused, naming the line; no line, name or
value is repeated in an error, as any of them may be a secret in the wrong place.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from sidecar.wire import names
from statefulset.cli.errors import CliError, usage

Pairs = list[tuple[str, bytes]]
_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?([A-Za-z0-9][A-Za-z0-9._-]*)=(.*)", re.S)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def _wrong(what: str, hint: str) -> CliError:
    return usage(what, hint)


def from_json(data: bytes) -> Pairs:
    """The texts of one JSON object. Raises CliError (usage)."""
    pairs: Any = None
    try:
        # As pairs, so that a field named twice is seen; an object inside becomes a list and is no text either.
        pairs = json.loads(data.decode("utf-8"), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, tuple):
        raise _wrong("the input is not a JSON object", 'it looks like {"user": "...", "password": "..."}')
    out: Pairs = []
    for number, (field, text) in enumerate(pairs, start=1):
        if not isinstance(text, str):
            raise _wrong(f"member number {number} of the JSON object is not a text", "put it into quotes")
        try:
            out.append((field, text.encode("utf-8")))
        except UnicodeEncodeError:
            out = []
        if not out:
            raise _wrong(f"member number {number} of the JSON object is not Unicode", "give it with --from-file")
    if not out:
        raise _wrong("the JSON object is empty", 'it looks like {"user": "...", "password": "..."}')
    return out


def from_env(data: bytes) -> Pairs:
    """NAME=VALUE lines. Raises CliError (usage), naming the line.

    As in a POSIX shell: 'text' as it is; "text" with \\n \\r \\t \\" \\\\ and \\$; a plain word has no space, quote,
    backslash, $ or #. Nothing is substituted."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _wrong("the .env file is not UTF-8 text", "give binary values with --from-file")
    out: Pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        found = _ASSIGNMENT.fullmatch(stripped)
        value = None if found is None else _env_value(found.group(2))
        if found is None or value is None:
            raise _wrong(
                f"line {number} of the .env file is not NAME=VALUE with a value that every reader takes alike",
                "put the value into single quotes; one of several lines goes into a file of its own (--from-file)",
            )
        out.append((found.group(1), value.encode("utf-8")))
    if not out:
        raise _wrong("the .env file has no line NAME=VALUE", "comments and empty lines are left out")
    return out


def _env_value(text: str) -> str | None:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return None if "'" in text[1:-1] else text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _unescaped(text[1:-1])
    return None if re.search(r"[\s'\"\\$#`]", text) else text


def _unescaped(text: str) -> str | None:
    out, chars = "", iter(text)
    for char in chars:
        if char == "\\":
            after = _ESCAPES.get(next(chars, ""))
            if after is None:
                return None
            out += after
        elif char in '"$`':
            return None
        else:
            out += char
    return out


def from_folder(folder: Path, limit: int) -> Pairs:
    """One field for each file, by its name; what begins with a dot is left out (also the `..data` of a mounted Secret,
    whose files are links into it). At most `limit` + 1 bytes of each file are read. Raises CliError (usage)."""
    out: Pairs = []
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
        for name in entries[: names.MAX_FIELDS + 1]:
            if not names.is_field(name) or not (folder / name).is_file():
                raise _wrong(
                    "the folder has an entry that is no file, or whose name cannot be that of a field",
                    "letters, digits, '.', '_' and '-'; folders inside are not read",
                )
            with (folder / name).open("rb") as file:
                out.append((name, file.read(limit + 1)))
    except OSError as error:
        raise _wrong(f"the folder cannot be read: {error.strerror}", "--from-dir takes the path of a folder") from None
    if not out:
        raise _wrong("the folder has no file", "one file for each field; names that begin with a dot are left out")
    return out
