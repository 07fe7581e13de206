"""The rendered files of the next generation: which must be made anew, from what, and by whom.

Why it exists: values are not kept in memory, so those that have not changed are read from the files in force; and only
what has changed is rendered again, so that a generation costs what changed. The built-in formats are rendered here, at
once; templates by a child process (template.py).
What it refuses to do: write, or give half a set: one file that fails is a RenderError for all. Only a file that fails
because a secret it is made of was taken away is left out, and said: to keep it would keep the value. Where only
removals are placed (`partial`) so is each file that they touch and that fails, whatever the reason.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgpack

from sidecar import errand, render
from sidecar.errand import ErrandError
from sidecar.files import Files, Rendered
from sidecar.render import RenderError, TakenError
from sidecar.rules import MAX_TEMPLATE, TEMPLATE, Rule
from sidecar.wire.messages import Secret

MAX_SECONDS: Final = 5.0
"""For all templates of a generation, with the start of their process."""

Changes = Mapping[str, Secret | None]


@dataclass(slots=True)
class Plan:
    """`rendered`: what is settled. `sources`: (path, template, names) still to be rendered, from `secrets`. `dropped`:
    files left out, path -> why. `taken`: names that the node took away. `partial`: removals only."""

    rendered: dict[str, Rendered] = field(default_factory=dict)
    sources: list[tuple[str, str, list[str]]] = field(default_factory=list)
    secrets: dict[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    dropped: dict[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    partial: bool = False

    def failed(self, path: str, error: str) -> None:
        """What was rendered before may hold what was taken away: a file that nobody can make anew goes with that.

        Raises RenderError if it may stay.
        """
        if not self.partial:
            raise RenderError(error)
        self.rendered.pop(path, None)
        self.dropped[path] = f"{error}; {path} is removed, as it may hold what was taken away"


class Renderer:
    """The rules of one pod over its files."""

    def __init__(self, rules: tuple[Rule, ...], files: Files) -> None:
        self._rules = rules
        self._files = files

    def plan(self, changes: Changes, own: str, known: Iterable[str] = (), partial: bool = False) -> Plan:
        """`known`: names that were in the set once (the floors); one that is not there now was taken away. `partial`:
        what the changes do not touch stays as it is, whatever its rule says by now, and what they touch does not stay.

        Raises RenderError, and PlaceError if a value in force cannot be read.
        """
        present = {*self._files.manifest.secrets, *changes} - {name for name, each in changes.items() if each is None}
        plan = Plan(taken=frozenset({*known, *changes} - present), partial=partial)
        for rule in self._rules:
            try:
                self._add(plan, rule, changes, own, present)
            except TakenError as error:
                plan.dropped[rule.path] = str(error)
            except RenderError as error:
                plan.failed(rule.path, str(error))
        return plan

    def _add(self, plan: Plan, rule: Rule, changes: Changes, own: str, present: set[str]) -> None:
        """One file more. Raises as plan() does, and TakenError."""
        in_force = self._files.manifest.rendered.get(rule.path)
        wanted = {render.qualified(name, own) for name in rule.secrets}
        touched = changes.keys() if not rule.secrets else changes.keys() & wanted
        if plan.partial and not touched:
            if in_force is not None:
                plan.rendered[rule.path] = Rendered(in_force)
            return
        names = render.needed(rule, own, present, plan.taken)
        template = _template(rule)
        checksum = binascii.crc32(repr((rule, template, own)).encode("utf-8"))
        if not touched and in_force == checksum:
            plan.rendered[rule.path] = Rendered(checksum)
            return
        for name in names:
            plan.secrets.setdefault(name, self._fields(name, changes))
        data = None
        if rule.format == TEMPLATE:
            plan.sources.append((rule.path, template, names))
        else:
            data = render.render(rule, {name: plan.secrets[name] for name in names}, own)
        plan.rendered[rule.path] = Rendered(checksum, data, rule.mode)

    def _fields(self, name: str, changes: Changes) -> Mapping[str, bytes]:
        change = changes.get(name)
        return self._files.read(name) if change is None else change.fields


async def finish(plan: Plan, own: str) -> Plan:
    """The plan with nothing left to render. Raises RenderError. May be cancelled."""
    if not plan.sources:
        return plan
    request: bytes = msgpack.packb([own, plan.secrets, plan.sources, sorted(plan.taken)])
    done = Plan(dict(plan.rendered), dropped=dict(plan.dropped), partial=plan.partial)
    try:
        answer = await errand.run("sidecar.template", request, MAX_SECONDS)
    except ErrandError as error:
        if plan.partial and len(plan.sources) > 1:
            return await _one_by_one(plan, own)
        paths = [path for path, _, _ in plan.sources]
        done.failed(paths[0], f"{', '.join(paths)}: {error}")
        return done
    found, taken, failures = msgpack.unpackb(answer)
    for path, why in failures.items():
        done.failed(path, why)
    for path, data in found.items():
        done.rendered[path] = replace(done.rendered[path], data=data)
    for path, name in taken.items():
        del done.rendered[path]
        done.dropped[path] = str(TakenError(path, name))
    return done


async def _one_by_one(plan: Plan, own: str) -> Plan:
    """One of the templates ended the process for all, and the file of another need not go for that."""
    for source in plan.sources:
        done = await finish(replace(plan, sources=[source]), own)
        plan = replace(plan, rendered=done.rendered, dropped=done.dropped)
    return replace(plan, sources=[])


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
