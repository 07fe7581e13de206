"""Handlers about secrets: authorise (middleware), validate, seal, propose, answer.

Why it exists: the whole path of a write on this side of the log, short enough to be read in one go.
What it refuses to do: open or return a value, propose one that is not sealed, or decide what depends on the stored
data; the store does, in the order of the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgpack
from aiohttp import web

from node.admin import auth, bodies, context, problem
from node.admin.limits import Limits
from node.admin.repeats import Repeats
from node.admin.rights import GRANT, UPDATE
from node.admin.services import Services
from node.errors import Rejected, Retry
from node.store import commands
from node.store.records import Record
from sidecar.wire import names

PAGE: Final = 100
DELIVERED: Final = 100
"""Tokens (node.admin.rates) for a walk over this node's sidecars."""
STALE: Final = "Raftsafe-Stale"
WRITE_ID: Final = 16
"""Bytes that name one write to the keyring; random, so they never repeat."""


def sizes(fields: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "size": size} for name, size in fields]


def view(record: Record) -> dict[str, Any]:
    """A record's metadata as JSON: names, sizes, times in ms; never a sealed blob."""
    return {
        "name": record.name,
        "version": record.version,
        "created_ms": record.created_ms,
        "updated_ms": record.updated_ms,
        "not_before_ms": record.not_before_ms,
        "expires_ms": record.expires_ms,
        "fields": sizes(record.fields),
        "grants": list(record.grants),
        "deleted": record.deleted,
        "index": record.index,
    }


class Secrets:
    """The handlers. Every refusal is raised (node.errors) and answered by the middleware."""

    def __init__(self, services: Services, limits: Limits) -> None:
        self._services = services
        self._limits = limits
        self._repeats = Repeats(services.request_key)

    async def put(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        bodies.query(request)
        clock = self._services.clock
        with await self._limits.body(request) as data:
            body = bodies.put(data)
            base = self._base(request, data)
            await self._may_replace(name, body.if_version, base["rid"])
            if body.grants is not None:
                await auth.require(self._services, GRANT, name)
                context.current().grants[name] = {"set": body.grants}
            self._not_expired(body, base)
            write_id = clock.token(WRITE_ID)
            generation, sealed = self._services.keyring.seal_value(name, write_id, body.fields)
            command = commands.Put(
                **base,
                name=name,
                fields=tuple((field, len(value)) for field, value in body.fields.items()),
                generation=generation,
                write_id=write_id,
                sealed=sealed,
                grants=body.grants,
                if_version=body.if_version,
                not_before_ms=body.not_before_ms,
                expires_ms=body.expires_ms,
            )
            del data, body  # nothing in this frame holds the values while the cluster works
            return await self._commit(command)

    async def get(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        query = bodies.query(request, "consistency", "delivered")
        delivered = bodies.query_flag(query, "delivered")
        self._limits.charge(DELIVERED if delivered else 0)
        headers = await self._consistent(query)
        record = self._services.store.get(name)
        if record is None:
            raise Rejected(f"there is no secret {name}", code="not_found", hint="check the name, or put it first")
        context.current().version = record.version
        data = view(record)
        if delivered:
            data["delivered"] = self._delivered(record)
        return web.json_response(data, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        query = bodies.query(request, "namespace", "prefix", "after", "limit", "consistency")
        limit = bodies.query_integer(query, "limit", 1, bodies.MAX_PAGE) or PAGE
        namespace, prefix = query.get("namespace") or None, query.get("prefix", "")
        if namespace is not None:
            if not names.is_namespace(namespace):
                raise Rejected("namespace is not well-formed", hint="a DNS label: lower-case letters, digits and '-'")
            prefix = f"{namespace}/{prefix}"
        self._limits.charge(limit // 10)
        headers = await self._consistent(query)
        page = self._services.store.list(namespace, prefix, query.get("after", ""), limit)
        following = page[-1].name if len(page) == limit else None
        return web.json_response({"secrets": [view(record) for record in page], "next": following}, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        query = bodies.query(request, "if_version")
        if_version = bodies.query_integer(query, "if_version", 1, bodies.MAX_INT)
        return await self._commit(commands.Delete(**self._base(request), name=name, if_version=if_version))

    async def undelete(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        bodies.query(request)
        return await self._commit(commands.Undelete(**self._base(request), name=name))

    async def purge(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        query = bodies.query(request, "if_version")
        if_version = bodies.query_integer(query, "if_version", 1, bodies.MAX_INT)
        return await self._commit(commands.Purge(**self._base(request), name=name, if_version=if_version))

    async def rollback(self, request: web.Request) -> web.Response:
        name = context.secret_name(request)
        bodies.query(request)
        with await self._limits.body(request) as data:
            body = bodies.rollback(data)
            base = self._base(request, data)
        command = commands.Rollback(**base, name=name, to=body.to, if_version=body.if_version)
        return await self._commit(command)

    async def history(self, request: web.Request) -> web.Response:
        """The versions that are kept, the newest first."""
        name = context.secret_name(request)
        headers = await self._consistent(bodies.query(request, "consistency"))
        record = self._services.store.get(name)
        if record is None:
            raise Rejected(f"there is no secret {name}", code="not_found", hint="check the name, or put it first")
        context.current().version = record.version
        versions = [
            {"version": one.version, "created_ms": one.created_ms, "fields": sizes(one.fields)}
            for one in (record.content(), *reversed(record.history))
        ]
        answer = {"name": name, "deleted": record.deleted, "versions": versions}
        return web.json_response(answer, headers=headers)

    async def grants(self, request: web.Request) -> web.Response:
        """With both lists, add is committed first: who swaps one workload for another never has neither. The answer
        also has the grants as they are after it; not what was taken away, which a repeat could not know."""
        name = context.secret_name(request)
        bodies.query(request)
        with await self._limits.body(request) as data:
            body = bodies.grants(data)
            more, fewer = self._base(request, data, "add"), self._base(request, data, "remove")
        context.current().grants[name] = {"added": body.add, "removed": body.remove}
        todo: list[commands.Command] = []
        if body.add:
            todo.append(commands.Grant(**more, name=name, grants=body.add))
        if body.remove:
            todo.append(commands.Revoke(**fewer, name=name, grants=body.remove))
        for command in todo:
            written = await self._written(command)
        if not await self._services.raft.wait_applied(written["index"], context.current().remaining()):
            hint = "the change is done; send it again with the same Idempotency-Key to get its answer"
            raise Retry("this node has not caught up with the change", hint=hint, after=1.0)
        record = self._services.store.get(name)
        return web.json_response({**written, "grants": [] if record is None else list(record.grants)})

    async def _may_replace(self, name: str, if_version: int | None, rid: bytes) -> None:
        """A put that can only make the secret needs no right to update. One that was deleted is brought back to whom it
        was granted, so it counts as being there. Raises Rejected forbidden, conflict; Retry."""
        try:
            await auth.require(self._services, UPDATE, name)
        except Rejected as error:
            refused = error
        else:
            return
        if if_version == 0:
            await self._consistent({})
            record = self._services.store.get(name)
            if record is None or (not record.deleted and self._services.store.answered(rid) is not None):
                return
            if not record.deleted:
                # Here, and not where it is ordered: by then it may be deleted, and this put would bring it back.
                message = f"{name} exists already with version {record.version}"
                raise Rejected(message, code="conflict", hint="read it again and decide anew")
        refused.hint += "; create alone is enough for what does not exist yet, with if_version 0"
        raise refused

    def _not_expired(self, body: bodies.PutBody, base: dict[str, Any]) -> None:
        """Nobody would ever get it. A repeat that comes after the end gets the answer of the first. Raises Rejected."""
        past = isinstance(body.expires_ms, int) and body.expires_ms <= base["t"]
        if past and self._services.store.answered(base["rid"]) is None:
            raise Rejected(
                "the end of its validity (expires_ms) is in the past, so nobody would get it",
                hint="name a time to come; to take a secret away, delete or revoke it",
            )

    def _base(self, request: web.Request, data: bytes = b"", part: str = "") -> dict[str, Any]:
        """What every command has: request id, proposer's time, actor. `data`: the body. Raises Rejected: invalid,
        key_reused."""
        clock, subject = self._services.clock, context.current().subject
        assert subject is not None
        rid = self._repeats.id(request, subject, data, clock.token(commands.RID_SIZE), part)
        return {"rid": rid, "t": clock.wall_ms(), "actor": subject}

    async def _commit(self, command: commands.Command) -> web.Response:
        """Propose and answer. Raises what the store refused, and Retry."""
        # Not web.json_response: it goes through text and charset, at a cost that this path feels.
        body = json.dumps(await self._written(command)).encode()
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})

    async def _written(self, command: commands.Command) -> dict[str, Any]:
        """Propose; what `_noted` returns. Raises what the store refused, and Retry."""
        return self._noted(await self._proposed(command))

    async def _proposed(self, command: commands.Command) -> dict[str, Any]:
        """The store's answer to a command, a refusal too (node.store.fsm.Store.apply). Raises Retry."""
        packed = await self._services.raft.propose(commands.encode(command), context.current().remaining())
        return self._result(packed)

    @staticmethod
    def _result(packed: bytes) -> dict[str, Any]:
        result: dict[str, Any] = msgpack.unpackb(packed)
        return result

    @staticmethod
    def _noted(result: dict[str, Any]) -> dict[str, Any]:
        """The answer of the store without what is for us, noted for the audit line. Raises what the store refused."""
        if not result["ok"]:
            raise problem.from_result(result["code"], result["message"], result["hint"])
        at = context.current()
        at.version, at.index = result["version"], result["index"]
        return {key: value for key, value in result.items() if key != "ok"}

    async def _consistent(self, query: dict[str, str]) -> dict[str, str]:
        """Waits until the local copy holds every write acknowledged before this request, or, with consistency=local,
        does not wait and returns the header that says whether it may be out of date. Raises Retry."""
        raft, at = self._services.raft, context.current()
        if bodies.query_local(query):
            return {STALE: "false" if raft.status().quorum else "true"}
        try:
            index = await raft.read_barrier(at.remaining())
        except Retry as error:
            if error.code == "no_quorum":
                error.hint = "add ?consistency=local (safe: --local) to read this node's own copy, which may be old"
            raise
        if not await raft.wait_applied(index, at.remaining()):
            raise Retry("this node has not caught up yet", hint="try again, or ask another node", after=1.0)
        return {}

    def _delivered(self, record: Record) -> dict[str, int]:
        """Connected sidecars of this node that hold the record's version, or an older one."""
        held = [
            receipt.placed[record.name]
            for receipt in self._services.sidecars.receipts()
            if receipt.connected and record.name in receipt.placed
        ]
        current = sum(version >= record.version for version in held)
        return {"current": current, "older": len(held) - current}
