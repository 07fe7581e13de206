"""A file that declares secrets, YAML or JSON, as the body of POST /v1/apply.

Why it exists: a file in version control, with the values beside it or mounted in, is how many secrets are kept at once.
What it refuses to do: take 007 for 7 or yes for true (every plain word is the text it is), read a name twice, or repeat
in an error what stands in the file; it says where.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

from sidecar.wire import names
from statefulset.cli import moments, values
from statefulset.cli.errors import usage
from statefulset.cli.options import is_workload

HOW: Final = "`safe apply --help` shows what a file looks like"
_BOUNDS: Final = {"not-before", "expires"}
_KEYS: Final = {"fields", "value", "for"} | _BOUNDS
_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

ReadFile = Callable[[str], bytes]
"""The bytes of a file that the declaration names, by its path there. Raises CliError."""


class _Loader(_LOADER):  # type: ignore[misc, valid-type]
    """Every scalar is a text, and no key stands twice in a mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = super().construct_mapping(node, deep=True)
        if len(found) != len(node.value):
            raise yaml.YAMLError
        return found


def _plain(text: str) -> bool:
    """Whether nothing in it stands for something else: aliases may stand for gigabytes, tags for another type."""
    return not any(
        isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None)
        for event in yaml.parse(io.StringIO(text), Loader=_LOADER)
    )


def _loaded(data: bytes) -> Any:
    found, where = None, ""
    try:
        text = data.decode("utf-8")
        found = yaml.load(text, _Loader) if _plain(text) else None  # noqa: S506 - makes texts, lists and dicts only
    except yaml.MarkedYAMLError as error:
        where = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise usage(f"the file is not understood{where}", f"YAML or JSON without aliases, tags and double keys; {HOW}")
    return found


def body(data: bytes, read_file: ReadFile) -> dict[str, Any]:
    """The request body. Raises CliError (usage), naming the secret by its number or its well-formed name."""
    found = _loaded(data)
    secrets = found.get("secrets")
    if set(found) != {"secrets"} or not isinstance(secrets, dict) or not secrets:
        raise usage("the file has something other than `secrets`, a mapping of at least one name", HOW)
    return {"secrets": [_secret(number, *item, read_file) for number, item in enumerate(secrets.items(), start=1)]}


def _secret(number: int, name: str, given: Any, read_file: ReadFile) -> dict[str, Any]:
    if not names.is_secret(name):
        raise usage(f"the name of secret number {number} is not NAMESPACE/NAME", "lower case, for example payments/db")
    if not isinstance(given, dict) or not set(given) <= _KEYS or ("fields" in given) == ("value" in given):
        keys = "`fields` or `value`, and beside it no more than `for`, `not-before` and `expires`"
        raise usage(f"{name} has other keys than it can have", f"{keys}; {HOW}")
    fields = given.get("fields", {names.PLAIN_FIELD: given.get("value")})
    if not isinstance(fields, dict) or not fields or not all(map(names.is_field, fields)):
        raise usage(f"`fields` of {name} is not a mapping of field names", "letters, digits, '.', '_' and '-'")
    out: dict[str, Any] = {
        "name": name,
        "fields": {field: base64.b64encode(_value(name, field, fields[field], read_file)).decode() for field in fields},
    }
    if "for" in given:
        workloads = given["for"]
        if not isinstance(workloads, list) or not all(isinstance(one, str) and is_workload(one) for one in workloads):
            raise usage(f"`for` of {name} is not a list of NAMESPACE/SERVICEACCOUNT", "[] for nobody; '*' in quotes")
        out["grants"] = list(dict.fromkeys(workloads))
    return out | {key.replace("-", "_") + "_ms": _moment(name, key, given) for key in _BOUNDS & given.keys()}


def _moment(name: str, key: str, given: Mapping[str, Any]) -> int | None:
    text = given[key]
    # Counted from now on it would be another time at each run.
    if isinstance(text, str) and not moments.is_duration(text):
        with contextlib.suppress(ValueError):
            return moments.parse(text, 0)
    raise usage(
        f"`{key}` of {name} is no point in time", "write 2027-01-31T12:00:00Z, or never; not a time from now on"
    )


def _value(name: str, field: str, given: Any, read_file: ReadFile) -> bytes:
    """A text, {base64: text}, or {file: path}."""
    data: bytes | None = None
    if isinstance(given, str):
        data = given.encode("utf-8", "surrogatepass")
    elif isinstance(given, dict) and set(given) == {"file"} and isinstance(given["file"], str):
        data = read_file(given["file"])
        if not data:
            raise usage(f"the file for the field {field} of {name} is empty", 'write "" if it is to be empty')
    elif isinstance(given, dict) and set(given) == {"base64"} and isinstance(given["base64"], str):
        try:
            data = base64.b64decode("".join(given["base64"].split()), validate=True)
        except (binascii.Error, ValueError):
            data = None
    if data is None:
        hint = "write a text, {file: path beside this file}, or {base64: ...}"
        raise usage(f"the value of the field {field} of {name} is not understood", hint)
    if len(data) > values.LIMIT:
        raise usage(f"the value of the field {field} of {name} is larger than {values.LIMIT} bytes")
    return data
