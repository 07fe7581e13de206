"""The rendered files of the next generation: which must be made anew, from what, and by whom.

Why it exists: values are not kept in memory, so those that have not changed are read from the files in force; and only
what has changed is rendered again, so that a generation costs what changed. The built-in formats are rendered here, at
once; templates by a child process (template.py).
What it refuses to do: write, or give half a set: one file that fails is a RenderError for all.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgpack

from sidecar import errand, render
from sidecar.errand import ErrandError
from sidecar.files import Files, Rendered
from sidecar.render import RenderError
from sidecar.rules import MAX_TEMPLATE, TEMPLATE, Rule
from sidecar.wire.messages import Secret

MAX_SECONDS: Final = 5.0
"""For all templates of a generation, with the start of their process."""

Changes = Mapping[str, Secret | None]


@dataclass(slots=True)
class Plan:
    """`rendered`: what is settled. `sources`: (path, template, names) still to be rendered, from `secrets`."""

    rendered: dict[str, Rendered] = field(default_factory=dict)
    sources: list[tuple[str, str, list[str]]] = field(default_factory=list)
    secrets: dict[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)


class Renderer:
    """The rules of one pod over its files."""

    def __init__(self, rules: tuple[Rule, ...], files: Files) -> None:
        self._rules = rules
        self._files = files

    def plan(self, changes: Changes, own: str) -> Plan:
        """Raises RenderError, and PlaceError if a value in force cannot be read."""
        plan = Plan()
        present = {*self._files.manifest.secrets, *changes} - {name for name, each in changes.items() if each is None}
        for rule in self._rules:
            template = _template(rule)
            checksum = binascii.crc32(repr((rule, template, own)).encode("utf-8"))
            names = render.needed(rule, own, present)
            touched = changes.keys() if not rule.secrets else changes.keys() & set(names)
            if not touched and self._files.manifest.rendered.get(rule.path) == checksum:
                plan.rendered[rule.path] = Rendered(checksum)
                continue
            for name in names:
                plan.secrets.setdefault(name, self._fields(name, changes))
            data = None
            if rule.format == TEMPLATE:
                plan.sources.append((rule.path, template, names))
            else:
                data = render.render(rule, {name: plan.secrets[name] for name in names}, own)
            plan.rendered[rule.path] = Rendered(checksum, data, rule.mode)
        return plan

    def _fields(self, name: str, changes: Changes) -> Mapping[str, bytes]:
        change = changes.get(name)
        return self._files.read(name) if change is None else change.fields


async def finish(plan: Plan, own: str) -> dict[str, Rendered]:
    """All rendered files of the next generation. Raises RenderError. May be cancelled."""
    if not plan.sources:
        return plan.rendered
    request: bytes = msgpack.packb([own, plan.secrets, plan.sources])
    try:
        answer = await errand.run("sidecar.template", request, MAX_SECONDS)
    except ErrandError as error:
        raise RenderError(f"{', '.join(path for path, _, _ in plan.sources)}: {error}") from None
    found, said = msgpack.unpackb(answer)
    if said:
        raise RenderError(said)
    out = dict(plan.rendered)
    for path, data in found.items():
        out[path] = Rendered(out[path].checksum, data, out[path].mode)
    return out


def _template(rule: Rule) -> str:
    """The text of its template, "" for a built-in format. Raises RenderError."""
    if not rule.template_file:
        return rule.template
    try:
        with open(rule.template_file, encoding="utf-8") as file:
            text = file.read(MAX_TEMPLATE + 1)
    except OSError as error:
        raise RenderError(f"{rule.path}: {rule.template_file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RenderError(f"{rule.path}: {rule.template_file} is not UTF-8 text") from None
    if len(text) > MAX_TEMPLATE:
        raise RenderError(f"{rule.path}: {rule.template_file} has more than {MAX_TEMPLATE} characters")
    return text
