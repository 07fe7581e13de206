"""What a pod may ask of the injector, read from its labels and annotations.

Why it exists: one table of annotations, each with one meaning; a wrong one denies the pod with a message that names it,
because a pod that starts without its secrets, or with others than it was meant to have, is found out much later.
What it refuses to do: guess. An unknown annotation under our prefix is refused too: it is a typing mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

PREFIX: Final = "raftsafe.io/"
INJECT: Final = PREFIX + "inject"
STATUS: Final = PREFIX + "status"
MODES: Final = ("native", "init", "classic")
DEFAULT_PATH: Final = "/run/secrets/raftsafe"
DEFAULT_SIZE: Final = "16Mi"
"""Room for two generations of some hundred ordinary secrets; kubelet makes the tmpfs that large and no larger."""
MIN_SIZE: Final = 64 << 10
MAX_SIZE: Final = 256 << 20
"""The files are charged to the sidecar's memory: more than this is not configuration any more."""

_SIZE = re.compile(r"([1-9][0-9]{0,11})(Ki|Mi|Gi)?")
_UNIT: Final = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_CPU = re.compile(r"[1-9][0-9]{0,5}m?")
_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,200}")
_CONTAINER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Refused(Exception):
    """The pod is denied with this one line, which names what is wrong in it and what would be right."""


@dataclass(frozen=True, slots=True)
class Options:
    """One pod's wishes. `environment` holds SAFE_* variables, to be checked by the sidecar's own settings; sizes are
    Kubernetes quantities; `containers` empty: all of them; `user` None: the pod's, or the image's own."""

    mode: str = "native"
    path: str = DEFAULT_PATH
    size: str = DEFAULT_SIZE
    containers: tuple[str, ...] = ()
    user: int | None = None
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def quantity(text: str) -> int:
    """Bytes of "16Mi" and the like. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("a number of bytes with Ki, Mi or Gi, for example 16Mi")
    return int(match[1]) * _UNIT[match[2] or ""]


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(f"one of {', '.join(MODES)}")
    return text


def _path(text: str) -> str:
    parts = text.rstrip("/").split("/")[1:]
    if not _PATH.fullmatch(text) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"an absolute path such as {DEFAULT_PATH}, without '..'")
    return text.rstrip("/")


def _size(text: str) -> str:
    if not MIN_SIZE <= quantity(text) <= MAX_SIZE:
        raise ValueError("between 64Ki and 256Mi: the files are in memory, and two generations exist for a moment")
    return text


def _containers(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
    if not names or not all(_CONTAINER.fullmatch(name) for name in names):
        raise ValueError("names of this pod's containers, separated by commas")
    return names


def _user(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > (1 << 31) - 1:
        raise ValueError("a numeric user id")
    return int(text)


def _resources(text: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        kind, _, what = key.partition(".")
        fits = _CPU if what == "cpu" else _SIZE
        if (
            not equals
            or kind not in ("requests", "limits")
            or what not in ("cpu", "memory")
            or not fits.fullmatch(value)
        ):
            raise ValueError("for example requests.cpu=5m,requests.memory=32Mi,limits.memory=96Mi")
        out[key] = value
    return out


OPTIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "mode": _mode,
    "path": _path,
    "size": _size,
    "containers": _containers,
    "user": _user,
    "resources": _resources,
}
"""Annotations that shape the pod: name after the prefix -> its check."""

VARIABLES: Final[Mapping[str, str]] = {
    "secrets": "SAFE_SECRETS",
    "file-mode": "SAFE_FILE_MODE",
    "file-group": "SAFE_FILE_GROUP",
    "render": "SAFE_RENDER",
    "notify": "SAFE_NOTIFY",
    "deadline": "SAFE_DEADLINE",
    "max-staleness": "SAFE_MAX_STALENESS",
}
"""Annotations that the sidecar reads: name after the prefix -> its variable. Checked by sidecar.settings."""

KNOWN: Final = frozenset({"inject", "status", *OPTIONS, *VARIABLES})


def wanted(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Does this pod ask for injection? The annotation goes before the label. Raises Refused for another word."""
    answer = annotations.get(INJECT, labels.get(INJECT))
    if answer not in (None, "true", "false"):
        raise Refused(f'{INJECT} must be "true" or "false", it is {answer[:40]!r}')
    return answer == "true"


def read(annotations: Mapping[str, str], namespace: str) -> Options:
    """The options of a pod in `namespace`. Raises Refused, naming the annotation."""
    given = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    for name in given:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, 1)
            meant = f"did you mean {PREFIX}{near[0]}?" if near else f"known: {', '.join(sorted(KNOWN))}"
            raise Refused(f"annotation {PREFIX}{name} is not known; {meant}")
    checked: dict[str, object] = {}
    for name, check in OPTIONS.items():
        if name in given:
            try:
                checked[name] = check(given[name].strip())
            except ValueError as error:
                raise Refused(f"annotation {PREFIX}{name} must be {error}") from None
    environment = {variable: given[name] for name, variable in VARIABLES.items() if given.get(name, "").strip()}
    if "SAFE_SECRETS" in environment:
        environment["SAFE_SECRETS"] = _qualified(environment["SAFE_SECRETS"], namespace)
    resources = checked.pop("resources", {})
    assert isinstance(resources, dict)
    for kind in ("requests", "limits"):
        checked[kind] = {key.partition(".")[2]: text for key, text in resources.items() if key.startswith(kind)}
    assert checked.keys() <= {each.name for each in fields(Options)}
    return Options(environment=environment, **checked)  # type: ignore[arg-type]  # the table's checks give the types


def _qualified(text: str, namespace: str) -> str:
    """A name without a namespace is of the pod's own."""
    words = [word for part in text.split(",") if (word := part.strip())]
    return ",".join(word if "/" in word else f"{namespace}/{word}" for word in words)
