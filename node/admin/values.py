"""The handlers that open what is sealed: a patch of single fields, and reading a value back.

Why it exists: these few lines are all of the admin API that ever sees a stored value in the clear; kept apart, they can
be read in one go. What it refuses to do: answer a patch with a value, reveal what is deleted, or lose an update: a
merge is proposed for exactly the version it was made from.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from aiohttp import web

from node.admin import bodies, context
from node.admin.bodies import PatchBody
from node.admin.secrets import WRITE_ID, Secrets
from node.errors import Rejected, Retry
from node.store import commands
from node.store.records import Record, Version

TRIES: Final = 8
"""Merges of one patch before the caller is told to come again: each lost one means that somebody else wrote."""


def there(record: Record | None, name: str) -> Record:
    """The record of a secret that exists. Raises Rejected not_found, deleted; in the words of the store."""
    if record is None:
        raise Rejected(f"there is no secret {name}", code="not_found", hint="check the name, or put it first")
    if record.deleted:
        raise Rejected(f"{name} is deleted", code="deleted", hint="undelete it first, or put a new value")
    return record


def merged(name: str, current: dict[str, bytes], changes: dict[str, bytes | None]) -> dict[str, bytes]:
    """`current` with the fields of `changes` set, and those that are None removed. Raises Rejected: not_found for a
    field that is to go and is not there, invalid if none is left."""
    out = dict(current)
    for field, value in changes.items():
        if value is not None:
            out[field] = value
        elif out.pop(field, None) is None:
            hint = f"its fields are: {', '.join(sorted(current))}"
            raise Rejected(f"{name} has no field {field}, so it cannot be removed", code="not_found", hint=hint)
    if not out:
        raise Rejected(f"{name} would have no field left", hint="delete the secret instead")
    return out


class Values(Secrets):
    """Every refusal is raised (node.errors) and answered by the middleware."""

    async def patch(self, request: web.Request) -> web.Response:
        """Each try has a request id of its own from the same Idempotency-Key, so that a repeat of the whole request
        runs into the try that was applied, and not into one that lost against another writer."""
        name = context.secret_name(request)
        bodies.query(request)
        with await self._limits.body(request) as data:
            body = bodies.patch(data)
            for number in range(TRIES):
                await self._consistent({})
                base = self._base(request, data, f"try {number}" if number else "")
                known = self._services.store.answered(base["rid"])
                result = self._result(known) if known else await self._proposed(self._patched(name, body, base))
                if result["ok"] or result["code"] != "conflict" or body.if_version is not None:
                    return web.json_response(self._noted(result))
        raise Retry(f"{name} is being changed by others all the time", hint="send it again in a moment", after=1.0)

    def _patched(self, name: str, body: PatchBody, base: dict[str, Any]) -> commands.Command:
        """The command that patches the secret as it is in the local copy."""
        record = there(self._services.store.get(name), name)
        window: dict[str, Any] = {"not_before_ms": body.not_before_ms, "expires_ms": body.expires_ms}
        if not body.fields:
            return commands.PatchMeta(**base, **window, name=name, if_version=body.if_version)
        fields = merged(name, self._opened(name, record.content()), body.fields)
        write_id = self._services.clock.token(WRITE_ID)
        generation, sealed = self._services.keyring.seal_value(name, write_id, fields)
        return commands.Put(
            **base,
            **window,
            name=name,
            fields=tuple((field, len(value)) for field, value in fields.items()),
            generation=generation,
            write_id=write_id,
            sealed=sealed,
            if_version=record.version if body.if_version is None else body.if_version,
        )

    async def value(self, request: web.Request) -> web.Response:
        """The window of validity is for workloads and does not bind those who may read a value back."""
        name = context.secret_name(request)
        query = bodies.query(request, "version", "field", "consistency")
        version = bodies.query_integer(query, "version", 1, bodies.MAX_INT)
        headers = await self._consistent(query)
        record = there(self._services.store.get(name), name)
        content = record.content() if version in (None, record.version) else record.find(version or 0)
        if content is None:
            kept = ", ".join(str(old.version) for old in (*record.history, record.content()))
            raise Rejected(f"{name} has no version {version}", code="not_found", hint=f"versions that are kept: {kept}")
        context.current().version = content.version
        wanted = query.get("field")
        if wanted is not None and wanted not in dict(content.fields):
            hint = f"its fields are: {', '.join(field for field, _ in content.fields)}"
            raise Rejected(f"{name} has no field of that name", code="not_found", hint=hint)
        fields = self._opened(name, content)
        shown = {key: base64.b64encode(data).decode() for key, data in fields.items() if wanted in (None, key)}
        answer = {"name": name, "version": content.version, "fields": shown}
        return web.json_response(answer, headers=headers)

    def _opened(self, name: str, content: Version) -> dict[str, bytes]:
        return self._services.keyring.open_value(name, content.generation, content.write_id, content.sealed)
