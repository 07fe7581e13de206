"""What a pod asks for beside the plain files: rendered files (SAFE_RENDER) and a word to the application (SAFE_NOTIFY).

    SAFE_RENDER   app.env=env:shop/db,shop/api; conf/app.yaml=yaml; nginx.conf=template:/etc/templates/nginx.conf.j2
                  or a JSON array: [{"path": "app.env", "format": "env", "secrets": ["shop/db"]}]
    SAFE_NOTIFY   signal HUP nginx      signal HUP /run/shared/app.pid      http POST http://127.0.0.1:8080/reload
                  then, if wanted: debounce=0.5 timeout=5 retries=3 first=no

Why it exists: an injection webhook sets either from one annotation, so each is one short text, checked whole before
anything starts. What it refuses to do: repair. A wrong text is a ValueError of one line, which quotes only the text.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.wire import names

TEMPLATE: Final = "template"
FORMATS: Final = ("env", "docker-env", "json", "yaml", "properties", TEMPLATE)
MAX_RULES: Final = 32
"""Rendered files a pod may ask for: each is written anew with each generation."""
MAX_TEMPLATE: Final = 256 << 10
"""Bytes of one template's text."""
MAX_DEPTH: Final = 4
"""Parts of a rendered file's path."""
_PART: Final = re.compile(r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_KEYS: Final = frozenset({"path", "format", "secrets", "template", "template_file", "base64", "mode"})
SIGNALS: Final = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "ALRM")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_URL: Final = re.compile(r"http://(\[[0-9a-f:.]+\]|[a-z0-9.]+)(?::([0-9]{1,5}))?(/[!-~]*)?")
_PROCESS: Final = re.compile(r"[A-Za-z0-9._+:-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rendered file. `secrets` empty: the whole set; a name without a namespace is of the pod's own. `base64`:
    every value of a built-in format is base64 (RFC 4648), for values that are no text. `mode` None: SAFE_FILE_MODE."""

    path: str
    format: str
    secrets: tuple[str, ...] = ()
    template: str = ""
    template_file: str = ""
    base64: bool = False
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    """How the application is told. `kind`: signal (`what` its name, `target` a process name or the path of a pid file)
    or http (`what` the method, `target` the URL). Seconds; `retries` after the first attempt; `first`: also when the
    first whole set is placed."""

    kind: str
    what: str
    target: str
    debounce: float = 0.5
    timeout: float = 5.0
    retries: int = 3
    first: bool = False


def file_mode(text: str) -> int:
    """An octal file mode within 0666 that its owner can read. Raises ValueError."""
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise ValueError(f"{text[:40]!r} is not an octal number such as 0444")
    mode = int(text, 8)
    # Within 0666: a secret is never executable. The owner must be able to read, or the sidecar could not carry an
    # unchanged file over to the next generation.
    if mode & ~0o666 or not mode & 0o400:
        raise ValueError(f"{text!r} must lie within 0666 and include 0400")
    return mode


def is_path(path: str) -> bool:
    """A relative path that stays below the mount and cannot be one of our own names (which begin with two dots)."""
    parts = path.split("/")
    return len(parts) <= MAX_DEPTH and all(_PART.fullmatch(part) and ".." not in part for part in parts)


def render(text: str) -> tuple[Rule, ...]:
    """The rules of SAFE_RENDER. Raises ValueError."""
    text = text.strip()
    if text.startswith("["):
        rules = tuple(map(_from_json, _array(text)))
    else:
        rules = tuple(_short(word) for part in re.split(r"[;\n]", text) if (word := part.strip()))
    if len(rules) > MAX_RULES:
        raise ValueError(f"asks for {len(rules)} files, the limit is {MAX_RULES}")
    paths = [rule.path for rule in rules]
    for path in paths:
        if paths.count(path) > 1 or any(other.startswith(path + "/") for other in paths):
            raise ValueError(f"{path!r} is there twice, or is a folder and a file")
    return rules


def _array(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("begins like JSON and is none") from None
    assert isinstance(found, list)
    return found


def _short(text: str) -> Rule:
    path, equals, rest = text.partition("=")
    kind, _, source = (part.strip() for part in rest.partition(":"))
    if not equals or not kind:
        raise ValueError(f"{text[:100]!r} is not path=format or path=format:source")
    if kind == TEMPLATE:
        return _checked(Rule(path.strip(), kind, template_file=source))
    return _checked(Rule(path.strip(), kind, tuple(word for part in source.split(",") if (word := part.strip()))))


def _from_json(body: Any) -> Rule:
    if not isinstance(body, dict) or not body.keys() <= _KEYS:
        raise ValueError(f"an entry is an object with keys of {', '.join(sorted(_KEYS))}")
    secrets, mode = body.get("secrets", []), body.get("mode", "")
    texts = [body.get(key, "") for key in ("path", "format", "template", "template_file")]
    if not all(isinstance(text, str) for text in (*texts, mode)) or not isinstance(body.get("base64", False), bool):
        raise ValueError("path, format, template, template_file and mode are texts, base64 is true or false")
    if not isinstance(secrets, list) or not all(isinstance(name, str) for name in secrets):
        raise ValueError("secrets is a list of names")
    path, kind, template, template_file = texts
    chosen = file_mode(mode) if mode else None
    return _checked(Rule(path, kind, tuple(secrets), template, template_file, body.get("base64", False), chosen))


def _checked(rule: Rule) -> Rule:
    if not is_path(rule.path):
        raise ValueError(f"{rule.path[:100]!r} is no path below the mount, such as app.env or conf/app.yaml")
    if rule.format not in FORMATS:
        raise ValueError(f"{rule.path}: format {rule.format[:40]!r} is not one of {', '.join(FORMATS)}")
    for name in rule.secrets:
        if not names.is_secret(name if "/" in name else f"own/{name}"):
            raise ValueError(f"{rule.path}: {name[:100]!r} is neither namespace/name nor the name of a secret")
    if rule.format == TEMPLATE:
        _check_template(rule)
    elif rule.template or rule.template_file:
        raise ValueError(f"{rule.path}: a template goes with format {TEMPLATE}")
    return rule


def _check_template(rule: Rule) -> None:
    if bool(rule.template) == bool(rule.template_file):
        raise ValueError(f"{rule.path}: a template is either a text or the path of a file")
    if rule.template_file and (not rule.template_file.startswith("/") or "\0" in rule.template_file):
        raise ValueError(f"{rule.path}: {rule.template_file[:100]!r} is not an absolute path")
    if len(rule.template) > MAX_TEMPLATE:
        raise ValueError(f"{rule.path}: the template has more than {MAX_TEMPLATE} characters")
    if rule.base64:
        raise ValueError(f"{rule.path}: base64 is for the other formats; a template has the filter b64encode")


def notify(text: str) -> Notify | None:
    """SAFE_NOTIFY, None for nothing. Raises ValueError."""
    words = text.split()
    if not words or words == ["none"]:
        return None
    if len(words) < 3:
        raise ValueError(
            "is 'signal NAME PROCESS', 'signal NAME /PID/FILE' or 'http METHOD http://127.0.0.1:PORT/PATH'"
        )
    kind, what, target = words[:3]
    what = what.upper().removeprefix("SIG") if kind == "signal" else what.upper()
    if kind == "signal":
        _check_signal(what, target)
    elif kind == "http":
        if what not in METHODS:
            raise ValueError(f"method {what[:40]!r} is not one of {', '.join(METHODS)}")
        address(target)
    else:
        raise ValueError(f"{kind[:40]!r} is neither signal nor http")
    given = dict(_option(word) for word in words[3:])
    if len(given) != len(words) - 3:
        raise ValueError("has an option twice")
    return Notify(kind, what, target, **given)


def _check_signal(name: str, target: str) -> None:
    if name not in SIGNALS:
        raise ValueError(f"signal {name[:40]!r} is not one of {', '.join(SIGNALS)}")
    if not (target.startswith("/") and "\0" not in target) and not _PROCESS.fullmatch(target):
        raise ValueError(f"{target[:100]!r} is neither the name of a process nor the absolute path of a pid file")


def address(url: str) -> tuple[tuple[str, ...], int, str]:
    """(addresses to try, port, path and query) of a URL of this pod itself. Raises ValueError for any other.

    `localhost` is never resolved: whatever a name server or /etc/hosts says, the request stays in the pod.
    """
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[2] or 80) < 65536:
        raise ValueError(f"{url[:100]!r} is not http://127.0.0.1:PORT/PATH or the like")
    host = match[1]
    hosts = ("127.0.0.1", "::1") if host == "localhost" else (host.strip("[]"),)
    if not all(map(_is_loopback, hosts)):
        raise ValueError(f"{host!r} is not this pod: only localhost, 127.0.0.0/8 and [::1] are asked")
    return hosts, int(match[2] or 80), match[3] or "/"


def _is_loopback(host: str) -> bool:
    try:
        if ":" in host:
            return socket.inet_pton(socket.AF_INET6, host) == b"\0" * 15 + b"\1"
        return socket.inet_pton(socket.AF_INET, host)[0] == 127
    except OSError:
        return False


_SECONDS: Final[Mapping[str, tuple[float, float]]] = {"debounce": (0.1, 60.0), "timeout": (0.1, 60.0)}


def _option(word: str) -> tuple[str, Any]:
    key, _, value = word.partition("=")
    if key in _SECONDS:
        low, high = _SECONDS[key]
        if not _NUMBER.fullmatch(value) or not low <= float(value) <= high:
            raise ValueError(f"{key} must be {low:g} to {high:g} seconds")
        return key, float(value)
    if key == "retries" and re.fullmatch(r"[0-9]|10", value):
        return key, int(value)
    if key == "first" and value in ("yes", "no"):
        return key, value == "yes"
    raise ValueError(f"{word[:40]!r} is not debounce=SECONDS, timeout=SECONDS, retries=0..10 or first=yes|no")
