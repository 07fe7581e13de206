"""What one generation of files holds, written inside it: names, versions and paths, never values.

Why it exists: a sidecar that is restarted continues where the files are: it tells the node what it has, and refuses
what is older, without reading a single value. What it refuses to do: trust the file. Every name is checked again when
it is read, because names become paths; a manifest with one bad entry counts as none, and everything is fetched anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar import rules
from sidecar.wire import names

RAW: Final = "..raw"
"""Folder of a generation for the own files of secrets whose place a rendered file takes. No link leads to it."""
FILE: Final = "..manifest.json"
OWED: Final = "..owed"
"""An empty file of a generation: the application has not been told of it yet. Not in the manifest, because it goes
without a byte being written, and so on a full volume too."""
FORMAT: Final = 1
MAX_BYTES: Final = 8 << 20
"""2048 secrets and as many removed ones, with the longest names, and a few fields each, are under 4 MiB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret in the files. `path`: below the mount; a file if the only field is `value`, else a folder."""

    version: int
    path: str
    fields: tuple[str, ...]

    def files(self) -> Iterable[tuple[str, str]]:
        """(field, path below the mount) of each file."""
        if self.fields == (names.PLAIN_FIELD,):
            return [(names.PLAIN_FIELD, self.path)]
        return [(name, f"{self.path}/{name}") for name in self.fields]

    @property
    def top(self) -> str:
        """The entry of the mount's own listing through which this is reached."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation. `floors`: the lowest version acceptable by name, also of secrets removed. `rendered`: path below
    the mount of each rendered file -> a checksum of what asked for it. `store`: the identity of the store that index,
    versions and floors are of, "" if unknown; `former`: names whose value is of a store before that one."""

    index: int = 0
    complete: bool = False
    secrets: Mapping[str, Entry] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)
    rendered: Mapping[str, int] = field(default_factory=dict)
    store: str = ""
    former: frozenset[str] = frozenset()

    def versions(self) -> dict[str, int]:
        return {name: entry.version for name, entry in self.secrets.items()}


def collide(one: str, other: str) -> bool:
    """Whether one of two paths would be the other, or a folder and a file at once."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def tops(entries: Iterable[Entry], rendered: Iterable[str]) -> set[str]:
    """The entries of the mount's own listing through which all of them are reached."""
    found = {entry.top for entry in entries} | {path.partition("/")[0] for path in rendered}
    return found - {RAW}


def layout(name: str, own: str) -> str:
    """Where a secret lies: `name` for one of the pod's own namespace, `@namespace/name` for another's.

    Raises ValueError for anything that is not a secret's name: no path is ever made of it.
    """
    if not names.is_secret(name):
        raise ValueError("not the name of a secret")
    namespace, _, base = name.partition("/")
    return base if namespace == own else f"@{namespace}/{base}"


def encode(manifest: Manifest) -> bytes:
    secrets = {
        name: {"version": entry.version, "path": entry.path, "fields": list(entry.fields)}
        for name, entry in manifest.secrets.items()
    }
    body = {
        "format": FORMAT,
        "index": manifest.index,
        "complete": manifest.complete,
        "secrets": secrets,
        "floors": dict(manifest.floors),
        "rendered": dict(manifest.rendered),
        "store": manifest.store,
        "former": sorted(manifest.former),
    }
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _count(value: Any, low: int) -> int:
    if type(value) is not int or value < low:
        raise ValueError("not a count")
    return value


def _entry(name: str, body: Any) -> Entry:
    fields, path = body["fields"], body["path"]
    if type(fields) is not list or not 1 <= len(fields) <= names.MAX_FIELDS or len(set(fields)) != len(fields):
        raise ValueError("not a list of fields")
    if not all(type(item) is str and names.is_field(item) for item in fields):
        raise ValueError("not a list of fields")
    namespace = name.partition("/")[0]
    if type(path) is not str or path.removeprefix(f"{RAW}/") not in (layout(name, namespace), layout(name, "")):
        raise ValueError("not the path of this secret")
    return Entry(_count(body["version"], 1), path, tuple(fields))


def decode(data: bytes) -> Manifest | None:
    """The manifest, or None if it is not exactly one of ours."""
    try:
        body = json.loads(data)
        if body["format"] != FORMAT or type(body["complete"]) is not bool:
            return None
        floors = {name: _count(version, 1) for name, version in body["floors"].items()}
        secrets = {name: _entry(name, entry) for name, entry in body["secrets"].items()}
        if not all(map(names.is_secret, floors)) or len({entry.path for entry in secrets.values()}) != len(secrets):
            return None
        rendered = {path: _count(sum_, 0) for path, sum_ in body.get("rendered", {}).items()}
        if not all(map(rules.is_path, rendered)):
            return None
        store, former = body.get("store", ""), frozenset(body.get("former", ()))
        if type(store) is not str or not former <= secrets.keys():
            return None
        return Manifest(_count(body["index"], 0), body["complete"], secrets, floors, rendered, store, former)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def load(folder: str) -> Manifest | None:
    """The manifest of a generation's folder, or None if there is none that can be used."""
    try:
        with open(f"{folder}/{FILE}", "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    return decode(data) if len(data) <= MAX_BYTES else None
