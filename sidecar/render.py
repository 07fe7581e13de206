"""The built-in formats of rendered files: env, docker-env, json, yaml and properties, each quoted by its own rules.

    env         POSIX shell, to be sourced: single quotes where needed (XCU 2.2.2)
    docker-env  `docker run --env-file`: no quoting exists, so a value of several lines is refused
    json        RFC 8259, ASCII; values are strings
    yaml        every key and value in double quotes, so that `no`, `1e3` or `~` stay strings in YAML 1.1 and 1.2
    properties  java.util.Properties.load, ASCII with \\uXXXX, good for its byte and its character form

Why it exists: quoting is where a password with a quote in it becomes an outage, so it is done once and held against
real parsers by the tests. What it refuses to do: guess. A value that is not UTF-8 needs `base64` (then all values of
the file are), two values for one key are an error, and a secret that is not there is one too. No text of a RenderError
holds a value.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Final

from sidecar.rules import Rule
from sidecar.wire import names

MAX_RENDERED: Final = 1 << 20
"""Bytes of one rendered file, as of one secret."""
_SH_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")

Secrets = Mapping[str, Mapping[str, bytes]]
"""namespace/name -> field -> value."""


class RenderError(Exception):
    """Why a file cannot be rendered: names and places, never a value."""


class TakenError(RenderError):
    """It is made of a secret that the node took away. What was rendered before holds a value that must not stay."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(f"{path} is removed: it is made of {name}, which was taken away")


def qualified(name: str, own: str) -> str:
    """A name without a namespace is of the pod's own."""
    return name if "/" in name else f"{own}/{name}"


def needed(rule: Rule, own: str, present: Iterable[str], taken: Container[str] = ()) -> list[str]:
    """Full names of the secrets that the file is made of.

    Raises RenderError for one that is not there, TakenError if it is one of `taken`.
    """
    if not rule.secrets:
        return sorted(present)
    wanted, there = [qualified(name, own) for name in rule.secrets], set(present)
    for name in wanted:
        if name in taken and name not in there:
            raise TakenError(rule.path, name)
    for name in wanted:
        if name not in there:
            raise RenderError(f"{rule.path}: {name} is not in place")
    return list(dict.fromkeys(wanted))


def render(rule: Rule, secrets: Secrets, own: str) -> bytes:
    """The content of one file of a built-in format from the secrets it needs. Raises RenderError."""
    try:
        made = _FORMATS[rule.format](list(_values(rule, secrets, own)))
    except RenderError as error:
        raise RenderError(f"{rule.path}: {error}") from None
    data = made.encode("utf-8")
    if len(data) > MAX_RENDERED:
        raise RenderError(f"{rule.path}: {len(data)} bytes, the limit is {MAX_RENDERED}")
    return data


Value = tuple[tuple[str, ...], str]
"""The path of a key, outermost first, and its value."""


def _values(rule: Rule, secrets: Secrets, own: str) -> Iterable[Value]:
    """A plain value goes by the secret's name. Fields go by their names if the rule names exactly one secret, else
    behind the secret's; a secret of another namespace then goes behind that. So the shape depends on the rule, and not
    on how many secrets there are today."""
    alone = len(rule.secrets) == 1
    for name in sorted(secrets):
        namespace, _, base = name.partition("/")
        outer = (base,) if namespace == own or alone else (namespace, base)
        fields = secrets[name]
        for field in sorted(fields):
            text = as_text(fields[field], rule.base64, f"{name} field {field}")
            if fields.keys() == {names.PLAIN_FIELD}:
                yield outer, text
            else:
                yield ((field,) if alone else (*outer, field)), text


def as_text(data: bytes, base64: bool, what: str) -> str:
    """Raises RenderError for bytes that are no UTF-8."""
    if base64:
        return binascii.b2a_base64(data, newline=False).decode("ascii")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RenderError(f"{what} is not UTF-8 text; use base64 for this file, or its own file") from None


# -- quoting one value -----------------------------------------------------------------------------------------------


def sh(text: str) -> str:
    """As one word of a POSIX shell. Raises RenderError for NUL, which no shell can hold."""
    if "\0" in text:
        raise RenderError("a value with a NUL byte cannot be an environment variable")
    if _SH_PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def quoted_json(text: str) -> str:
    """A JSON string, ASCII only."""
    return json.dumps(text)


_YAML: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _yaml_char(char: str) -> str:
    code = ord(char)
    if char in _YAML:
        return _YAML[char]
    if 0x20 <= code < 0x7F:
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted_yaml(text: str) -> str:
    """A double-quoted scalar of YAML 1.1 and 1.2, ASCII only (YAML 1.2.2, 7.3.1): never a boolean, number or null."""
    return '"' + "".join(map(_yaml_char, text)) + '"'


_PROPERTIES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"} | {
    char: "\\" + char for char in "=:#!"
}


def _properties_char(char: str) -> str:
    if char in _PROPERTIES:
        return _PROPERTIES[char]
    if 0x20 <= ord(char) < 0x7F:
        return char
    units = char.encode("utf-16-be")  # Java escapes UTF-16 units, so two for a character beyond the first 65536
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def properties(text: str) -> str:
    """A value, as java.util.Properties.store writes it: leading space escaped, or it would be skipped."""
    escaped = "".join(map(_properties_char, text))
    return "\\" + escaped if escaped.startswith(" ") else escaped


# -- whole files -----------------------------------------------------------------------------------------------------


def _variables(values: list[Value]) -> dict[str, str]:
    return _flat(values, lambda path: _variable("_".join(path)))


def _variable(text: str) -> str:
    """The name of an environment variable (XBD 8.1): upper case, `_` for what may not be in it."""
    name = re.sub(r"[^A-Z0-9_]", "_", text.upper())
    return f"_{name}" if name[:1].isdigit() else name


def _flat(values: list[Value], key_of: Callable[[tuple[str, ...]], str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for path, text in values:
        key = key_of(path)
        if key in out:
            raise RenderError(f"two values would be {key}; name the secrets of this file, or use a template")
        out[key] = text
    return out


def _env(values: list[Value]) -> str:
    return "".join(f"{key}={sh(text)}\n" for key, text in _variables(values).items())


def _docker_env(values: list[Value]) -> str:
    lines = _variables(values)
    for key, text in lines.items():
        if any(char in text for char in "\n\r\0"):
            raise RenderError(f"{key} has more than one line, or a NUL byte, which this format cannot hold")
    return "".join(f"{key}={text}\n" for key, text in lines.items())


def _java(values: list[Value]) -> str:
    lines = _flat(values, ".".join)
    return "".join(f"{properties(key)}={properties(text)}\n" for key, text in lines.items())


def _nested(values: list[Value]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, text in values:
        at = root
        for part in path[:-1]:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise RenderError(f"{part} would be a value and a group; name the secrets of this file")
        if path[-1] in at:
            raise RenderError(f"two values would be {'.'.join(path)}; name the secrets of this file, or use a template")
        at[path[-1]] = text
    return root


def _json(values: list[Value]) -> str:
    return json.dumps(_nested(values), indent=2) + "\n"


def _yaml(values: list[Value]) -> str:
    return _yaml_lines(_nested(values), "") or "{}\n"


def _yaml_lines(group: Mapping[str, Any], indent: str) -> str:
    out = []
    for key, value in group.items():
        if isinstance(value, str):
            out.append(f"{indent}{quoted_yaml(key)}: {quoted_yaml(value)}\n")
        else:
            out.append(f"{indent}{quoted_yaml(key)}:\n{_yaml_lines(value, indent + '  ')}")
    return "".join(out)


_FORMATS: Final[Mapping[str, Callable[[list[Value]], str]]] = {
    "env": _env,
    "docker-env": _docker_env,
    "json": _json,
    "yaml": _yaml,
    "properties": _java,
}
