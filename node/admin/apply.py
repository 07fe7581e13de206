"""POST /v1/apply: many secrets as they are to be, all of them or none; a repeat changes nothing.

Why it exists: what a file declares must not be half there, and running it again must be safe.
What it refuses to do: make a version of what is there already, or propose anything but for exactly the state it looked
at: each secret in the batch is guarded by the log index of its last change.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from node.admin import auth, bodies, context
from node.admin.bodies import Declared
from node.admin.rights import GRANT, Need
from node.admin.secrets import WRITE_ID
from node.admin.values import TRIES, Values
from node.errors import Rejected, Retry
from node.store import commands
from node.store.commands import KEEP
from node.store.records import Record
from sidecar.wire import names


def same(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> bool:
    """Whether the fields are equal, in a time that does not tell where they first differ."""
    equal = [hmac.compare_digest(one[field], other.get(field, b"")) for field in one]
    return one.keys() == other.keys() and all(equal)


def beside(declared: Declared, record: Record, base: dict[str, Any]) -> list[commands.Part]:
    """What has to change of a secret whose fields are right: grants and window."""
    out: list[commands.Part] = []
    now, wanted = set(record.grants), set(record.grants if declared.grants is None else declared.grants)
    if wanted - now:
        out.append(commands.Grant(**base, name=record.name, grants=tuple(wanted - now)))
    if now - wanted:
        out.append(commands.Revoke(**base, name=record.name, grants=tuple(now - wanted)))
    begin = record.not_before_ms if declared.not_before_ms is KEEP else declared.not_before_ms
    end = record.expires_ms if declared.expires_ms is KEEP else declared.expires_ms
    if (begin, end) != (record.not_before_ms, record.expires_ms):
        bounds: dict[str, Any] = {"not_before_ms": declared.not_before_ms, "expires_ms": declared.expires_ms}
        out.append(commands.PatchMeta(**base, **bounds, name=record.name))
    return out


class Apply(Values):
    """Every refusal is raised (node.errors) and answered by the middleware."""

    async def apply(self, request: web.Request) -> web.Response:
        """Tries and their request ids as in a patch."""
        bodies.query(request)
        with await self._limits.body(request) as data:
            declared = bodies.apply(data)
            context.current().grants = {one.name: {"set": one.grants} for one in declared if one.grants is not None}
            context.current().several = tuple((one.name, None) for one in declared)
            sealed = sum(len(one.sealed or ()) for one in declared)
            self._limits.charge(len(declared) - 1 + sealed)
            await self._allowed(declared)
            declared = await self._opened_all(declared)
            for number in range(TRIES):
                await self._consistent({})
                base = self._base(request, data, f"try {number}" if number else "")
                known = self._services.store.answered(base["rid"])
                if known:
                    result = self._result(known)
                elif batch := self._batch(declared, base):
                    result = await self._proposed(batch)
                else:
                    result = {"ok": True, "index": 0, "changed": []}
                if result["ok"] or result["code"] != "conflict":
                    return web.json_response(self._told(declared, result))
        raise Retry("the secrets are being changed by others all the time", hint="send it again in a moment", after=1.0)

    async def _opened_all(self, declared: tuple[Declared, ...]) -> tuple[Declared, ...]:
        """A sealed value takes some 0.05 ms to open and a body may hold 16 000: others have their turn in between."""
        out = []
        for one in declared:
            out.append(self._unsealed(one))
            if one.sealed is not None:
                await asyncio.sleep(0)
        return tuple(out)

    def _unsealed(self, one: Declared) -> Declared:
        """With the values that were sealed to the cluster's key opened. Raises Rejected invalid, too_large."""
        if one.sealed is None:
            return one
        fields, wrong = {}, ""
        for field, text in one.sealed.items():
            try:
                fields[field] = self._services.sealing.open(one.name, field, text)
            except ValueError as error:
                wrong = f"{one.name}: sealed.{field} does not open: {error}"
                break
        if wrong:
            raise Rejected(wrong, hint="seal it again with `safe seal`, under this very name and with this store's key")
        if sum(map(len, fields.values())) > names.MAX_SECRET_BYTES:
            wrong = f"{one.name}: its values are larger than {names.MAX_SECRET_BYTES} bytes together"
            raise Rejected(
                wrong, code="too_large", hint="use several secrets, or keep larger data elsewhere, encrypted"
            )
        return dataclasses.replace(one, fields=fields, sealed=None)

    def _batch(self, declared: Iterable[Declared], base: dict[str, Any]) -> commands.Batch | None:
        """What makes the local copy as declared; None if it is. Raises Rejected too_large."""
        store = self._services.store
        found = [(one, store.get(one.name)) for one in declared]
        changes = [change for one, record in found for change in self._changes(one, record, base)]
        expect = tuple((one.name, 0 if record is None else record.index) for one, record in found)
        return commands.Batch(**base, expect=expect, changes=tuple(changes)) if changes else None

    def _changes(self, one: Declared, record: Record | None, base: dict[str, Any]) -> list[commands.Part]:
        there = record is not None and not record.deleted
        if record is not None and there and same(one.fields, self._opened(one.name, record.content())):
            return beside(one, record, base)
        write_id = self._services.clock.token(WRITE_ID)
        generation, sealed = self._services.keyring.seal_value(one.name, write_id, one.fields)
        put = commands.Put(
            **base,
            name=one.name,
            fields=tuple((field, len(value)) for field, value in one.fields.items()),
            generation=generation,
            write_id=write_id,
            sealed=sealed,
            grants=one.grants,
            not_before_ms=one.not_before_ms,
            expires_ms=one.expires_ms,
        )
        return [put]

    def _told(self, declared: Iterable[Declared], result: dict[str, Any]) -> dict[str, Any]:
        """The answer, noted for the audit log: a line for each secret that is not as it was."""
        at = context.current()
        self._noted({"version": None, **result})
        changed = {name: (version, what) for name, version, what in result["changed"]}
        at.version, at.several = None, tuple((name, version) for name, (version, _) in changed.items())
        out = []
        for one in declared:
            record = self._services.store.get(one.name)
            kept = (record.version if record is not None else 0, "unchanged")
            version, what = changed.get(one.name, kept)
            out.append({"name": one.name, "version": version, "result": what})
        return {"index": result["index"], "secrets": out}

    async def _allowed(self, declared: tuple[Declared, ...]) -> None:
        """A right that holds in the whole namespace is asked for once; who has it for single names only is asked for
        each. Raises Rejected forbidden; Retry."""
        by_namespace: dict[str, list[Declared]] = {}
        for one in declared:
            by_namespace.setdefault(one.name.partition("/")[0], []).append(one)
        for namespace, ones in by_namespace.items():
            for need in (Need("create"), Need("update")):
                await self._allowed_in(namespace, need, [one.name for one in ones])
            await self._allowed_in(namespace, GRANT, [one.name for one in ones if one.grants is not None])

    async def _allowed_in(self, namespace: str, need: Need, secrets: list[str]) -> None:
        if not secrets:
            return
        whole = Need(need.verb, need.resource, need.subresource, "namespace")
        try:
            await auth.require(self._services, whole, namespace=namespace)
        except Rejected:
            for name in secrets:
                await auth.require(self._services, need, name)
