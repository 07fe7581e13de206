"""What each command does to the map: (state, command, index) -> the new record and the answer.

Why it exists: every decision that depends on stored data stands here, in the order of the log, the same on every node.
What it refuses to do: change anything. It returns what is to change; node.store.fsm does it. A refusal is an answer and
no exception.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack

from node.store import commands as c
from node.store.records import Limits, Record, Version
from node.store.state import Draft, State, View


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """`result`: packed answer. At most one of: `records` to put, `purged` name, `key` (generation, wrapped) to add."""

    result: bytes
    records: tuple[Record, ...] = ()
    purged: str | None = None
    key: tuple[int, bytes] | None = None


class _Refused(Exception):
    """Ends in decide()."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.answer = {"ok": False, "code": code, "message": message, "hint": hint}


def decide(state: State, command: c.Command, index: int, limits: Limits) -> Outcome:
    """What `command` at log position `index` does. Pure; never raises for what a caller could cause."""
    try:
        if isinstance(command, c.AddKey):
            return _add_key(state, command, index, limits)
        if isinstance(command, c.Batch):
            return _batch(state, command, index, limits)
        if isinstance(command, c.Purge):
            record = _current(state, command.name)
            _check_version(command, record)
            return Outcome(_ok(record.name, record.version, index), purged=record.name)
        record = _changed(state, command, index, limits)
        old = state.get(record.name)
        if old is record:
            return Outcome(_ok(record.name, record.version, record.index))
        _check_weight(state, record, limits)
    except _Refused as refused:
        return Outcome(_pack(refused.answer))
    more = {"window_cleared": True} if _lost_window(old, record, command) else {}
    return Outcome(_ok(record.name, record.version, index, **more), records=(record,))


def _lost_window(old: Record | None, record: Record, command: c.Command) -> bool:
    """A put that leaves out the window ends it; whoever did not mean that must be able to see it."""
    before = None if old is None else (old.not_before_ms, old.expires_ms)
    none = (None, None)
    after = (record.not_before_ms, record.expires_ms)
    return isinstance(command, c.Put) and before not in (None, none) and after == none


def _batch(state: State, batch: c.Batch, index: int, limits: Limits) -> Outcome:
    for name, expected in batch.expect:
        record = state.get(name)
        if expected != (0 if record is None else record.index):
            raise _Refused("conflict", f"{name} was changed meanwhile", "nothing of it was done; send it again")
    draft = Draft(state)
    for change in batch.changes:
        record = _changed(draft, change, index, limits)
        if draft.get(record.name) is not record:
            _check_weight(draft, record, limits)
            draft.put(record)
    records = tuple(draft.changed.values())
    changed = [[record.name, record.version, _became(state.get(record.name), record)] for record in records]
    return Outcome(_ok("", 0, index, changed=changed), records=records)


def _became(old: Record | None, record: Record) -> str:
    """A word for what a batch did to a secret: "changed" is all that makes no version."""
    if old is None or old.deleted:
        return "created"
    return "changed" if old.version == record.version else "updated"


def _pack(answer: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(answer)
    return packed


def _ok(name: str, version: int, index: int, **more: Any) -> bytes:
    return _pack({"ok": True, "name": name, "version": version, "index": index, **more})


def _changed(state: View, command: c.Command, index: int, limits: Limits) -> Record:
    """The record as the command leaves it; the very same object if it changes nothing. Raises _Refused."""
    if isinstance(command, c.Put):
        return _put(state, command, index, limits)
    assert not isinstance(command, (c.AddKey, c.Purge, c.Batch))
    record = _current(state, command.name)
    if isinstance(command, c.Undelete):
        if not record.deleted:
            raise _Refused("conflict", f"{record.name} is not deleted", "there is nothing to undo")
        return dataclasses.replace(record, deleted=False, updated_ms=command.t, index=index)
    if isinstance(command, c.Revoke):
        return _regranted(record, set(record.grants) - set(command.grants), command, index)
    if record.deleted:
        raise _Refused("deleted", f"{record.name} is deleted", "undelete it first, or put a new value")
    if isinstance(command, c.Grant):
        grants = set(record.grants) | set(command.grants)
        _check_grants(record.name, len(grants), len(record.grants), limits)
        return _regranted(record, grants, command, index)
    _check_version(command, record)
    if isinstance(command, c.PatchMeta):
        return _patched(record, command, index)
    if isinstance(command, c.Delete):
        return dataclasses.replace(record, deleted=True, updated_ms=command.t, index=index)
    return _rolled_back(record, command, index, limits)


def _current(state: View, name: str) -> Record:
    record = state.get(name)
    if record is None:
        raise _Refused("not_found", f"there is no secret {name}", "check the name, or put it first")
    return record


def _check_version(command: c.Delete | c.Purge | c.Rollback | c.PatchMeta, record: Record) -> None:
    if command.if_version is not None and command.if_version != record.version:
        message = f"{record.name} has version {record.version}, not {command.if_version}"
        raise _Refused("conflict", message, "read it again and decide anew")


def _check_grants(name: str, count: int, before: int, limits: Limits) -> None:
    if count > max(limits.grants, before):
        message = f"{name} would have more than {limits.grants} grants"
        raise _Refused("too_large", message, "use * for the service account, or revoke some")


def _check_weight(state: View, record: Record, limits: Limits) -> None:
    """A change that makes the state smaller is taken even above the limit."""
    old = state.get(record.name)
    before = 0 if old is None else old.weight
    if record.weight > before and state.weight - before + record.weight > limits.stored_bytes:
        message = f"the store would hold more than {limits.stored_bytes} bytes in all"
        raise _Refused("too_large", message, "purge secrets that are not needed; deleted ones and old versions count")


def _put(state: View, command: c.Put, index: int, limits: Limits) -> Record:
    old = state.get(command.name)
    _check_put_version(command, old)
    if old is None and state.count >= limits.secrets:
        message = f"the store holds {limits.secrets} secrets already"
        raise _Refused("too_large", message, "purge secrets that are not needed; deleted ones count")
    kept = old.grants if old is not None else ()
    grants = kept if command.grants is None or command.grants == kept else command.grants
    _check_grants(command.name, len(grants), len(kept), limits)
    begin, end = _window(command, old)
    return Record(
        name=command.name,
        version=state.highest(command.name) + 1,
        created_ms=command.t if old is None else old.created_ms,
        updated_ms=command.t,
        written_ms=command.t,
        not_before_ms=begin,
        expires_ms=end,
        grants=grants,
        fields=command.fields,
        generation=command.generation,
        write_id=command.write_id,
        sealed=command.sealed,
        index=index,
        deleted=False,
        history=() if old is None else _history(old, limits),
    )


def _check_put_version(command: c.Put, old: Record | None) -> None:
    """A deleted secret does not exist, so that a writer who read it before cannot undo the deletion unknowingly."""
    wanted = command.if_version
    if wanted is None:
        return
    current = 0 if old is None or old.deleted else old.version
    if wanted == current:
        return
    if old is None:
        message = f"there is no secret {command.name}, so version {wanted} is not current"
    elif old.deleted:
        message = f"{command.name} is deleted (its last version is {old.version}), so version {wanted} is not current"
    elif wanted == 0:
        message = f"{command.name} exists already with version {current}"
    else:
        message = f"{command.name} has version {current}, not {wanted}"
    raise _Refused("conflict", message, "read it again and decide anew")


def _history(old: Record, limits: Limits) -> tuple[Version, ...]:
    versions = (*old.history, old.content())
    return versions[max(0, len(versions) - limits.history) :]


def _regranted(record: Record, grants: set[str], command: c.Grant | c.Revoke, index: int) -> Record:
    if len(grants) == len(record.grants):
        return record
    return dataclasses.replace(record, grants=tuple(sorted(grants)), updated_ms=command.t, index=index)


def _window(command: c.Put | c.PatchMeta, old: Record | None) -> tuple[int | None, int | None]:
    """The window after the command. Raises _Refused if it would end before it begins."""
    begin, end = command.not_before_ms, command.expires_ms
    if isinstance(begin, c.Keep):
        begin = None if old is None else old.not_before_ms
    if isinstance(end, c.Keep):
        end = None if old is None else old.expires_ms
    if begin is not None and end is not None and end <= begin:
        message = f"{command.name} would end (at {end} ms) before it begins (at {begin} ms)"
        raise _Refused("invalid", message, "give both not_before_ms and expires_ms")
    return begin, end


def _patched(record: Record, command: c.PatchMeta, index: int) -> Record:
    begin, end = _window(command, record)
    if (begin, end) == (record.not_before_ms, record.expires_ms):
        return record
    return dataclasses.replace(record, not_before_ms=begin, expires_ms=end, updated_ms=command.t, index=index)


def _rolled_back(record: Record, command: c.Rollback, index: int, limits: Limits) -> Record:
    if command.to == record.version:
        raise _Refused("conflict", f"{record.name} has version {command.to} already", "there is nothing to roll back")
    old = record.find(command.to)
    if old is None:
        kept = ", ".join(str(version.version) for version in record.history) or "none"
        message = f"{record.name} has no version {command.to} any more"
        raise _Refused("not_found", message, f"older versions that are kept: {kept}")
    return dataclasses.replace(
        record,
        version=record.version + 1,
        updated_ms=command.t,
        written_ms=command.t,
        fields=old.fields,
        generation=old.generation,
        write_id=old.write_id,
        sealed=old.sealed,
        index=index,
        history=_history(record, limits),
    )


def _add_key(state: State, command: c.AddKey, index: int, limits: Limits) -> Outcome:
    if command.generation in state.keys:
        message = f"the data key of generation {command.generation} is there already"
        raise _Refused("conflict", message, "use the one that is there")
    if len(state.keys) >= limits.keys:
        message = f"there are {limits.keys} data keys already"
        raise _Refused("too_large", message, "rotate less often: every old key is kept")
    return Outcome(_ok("", command.generation, index), key=(command.generation, command.wrapped))
