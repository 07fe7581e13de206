"""The store against a plain dict: every command, retries, snapshots at any time, limits small enough to be reached."""

from __future__ import annotations

import copy
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.store import commands as c
from node.store.fsm import Store
from node.store.records import OVERHEAD, Limits

LIMITS = Limits(secrets=3, stored_bytes=1200, history=2, grants=2, tombstones=2, keys=2, sessions=12)
ALL = ["a/b", "a/c", "b/a", "b/b", "c/x"]
NAMES = st.sampled_from(ALL)
# Picks a name, see StoreMachine.name: most often one that has a record.
PICKS = st.integers(0, 40)
GRANTS = st.lists(st.sampled_from(["a/x", "a/*", "*/*", "b/y"]), min_size=1, max_size=3)
# How far below the current version, see StoreMachine.below; None for no guard.
STEPS = st.sampled_from([0, 1, 2, 3])
GUARDS = st.sampled_from([None, None, 0, 1])
TIMES = st.integers(0, 50)
ACTOR = "model"


def weigh(content: dict[str, Any]) -> int:
    return len(content["sealed"]) + sum(len(name) + OVERHEAD for name, _ in content["fields"])


def weigh_all(secret: dict[str, Any]) -> int:
    contents = [secret["content"], *secret["old"].values()]
    return sum(map(weigh, contents)) + sum(len(grant) + OVERHEAD for grant in secret["grants"])


class Model:
    """Plain dicts and the rules in words: answers are a code or ("ok", name, version, index)."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.keys: dict[int, bytes] = {}
        self.purged: list[tuple[str, int]] = []
        self.floor = 0
        self.answers: dict[bytes, tuple[int, Any]] = {}

    def do(self, index: int, command: c.Command) -> Any:
        known = self.answers.get(command.rid)
        if known is not None and known[0] > index - LIMITS.sessions:
            return known[1]
        answer = self.first(index, command)
        self.answers[command.rid] = (index, answer)
        return answer

    def first(self, index: int, command: c.Command) -> Any:
        if isinstance(command, c.AddKey):
            if command.generation in self.keys:
                return "conflict"
            if len(self.keys) == LIMITS.keys:
                return "too_large"
            self.keys[command.generation] = command.wrapped
            return ("ok", "", command.generation, index)
        if isinstance(command, c.Batch):
            return self.batch(index, command)
        before = copy.deepcopy(self.secrets.get(command.name))
        if isinstance(command, c.Put):
            refusal = self.put(command)
        elif before is None:
            return "not_found"
        else:
            refusal = getattr(self, command.op)(self.secrets[command.name], command)
        after = self.secrets.get(command.name)
        if refusal is None and after is not None and self.grew(before, after):
            refusal = "too_large"
        if refusal is not None:
            self.restore(command.name, before)
            return refusal
        if after is None:
            return ("ok", command.name, before["version"], index)
        if before is None or before != after or isinstance(command, c.Put):
            after["index"], after["updated"] = index, command.t
        return ("ok", command.name, after["version"], after["index"])

    def batch(self, index: int, command: c.Batch) -> Any:
        """All or nothing: the same changes one by one, or the state of before."""
        if any(self.secrets.get(name, {"index": 0})["index"] != expected for name, expected in command.expect):
            return "conflict"
        before = copy.deepcopy(self.secrets)
        for change in command.changes:
            answer = self.first(index, change)
            if isinstance(answer, str):
                self.secrets = before
                return answer
        return ("ok", "", 0, index)

    def grew(self, before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
        more = weigh_all(after) > (0 if before is None else weigh_all(before))
        return more and sum(map(weigh_all, self.secrets.values())) > LIMITS.stored_bytes

    def restore(self, name: str, before: dict[str, Any] | None) -> None:
        if before is None:
            self.secrets.pop(name, None)
        else:
            self.secrets[name] = before

    def put(self, command: c.Put) -> str | None:
        secret = self.secrets.get(command.name)
        exists = secret is not None and not secret["deleted"]
        if command.if_version is not None and command.if_version != (secret["version"] if exists and secret else 0):
            return "conflict"
        if secret is None:
            if len(self.secrets) == LIMITS.secrets:
                return "too_large"
            version = dict(self.purged).get(command.name, self.floor)
            secret = {"version": version, "created": command.t, "old": {}, "grants": set(), "window": (None, None)}
        if command.grants is not None:
            if len(command.grants) > LIMITS.grants:
                return "too_large"
            secret["grants"] = set(command.grants)
        content = {
            "sealed": command.sealed,
            "fields": command.fields,
            "id": command.write_id,
            "key": command.generation,
        }
        self.renew(secret, content)
        asked = (command.not_before_ms, command.expires_ms)
        window = tuple(old if new is c.KEEP else new for old, new in zip(secret["window"], asked, strict=True))
        if None not in window and window[1] <= window[0]:
            return "invalid"
        secret |= {"deleted": False, "window": window}
        self.secrets[command.name] = secret
        return None

    def renew(self, secret: dict[str, Any], content: dict[str, Any]) -> None:
        if "content" in secret:
            secret["old"][secret["version"]] = secret["content"]
            for version in sorted(secret["old"])[: -LIMITS.history]:
                del secret["old"][version]
        secret["version"] += 1
        secret["content"] = content

    def patch_meta(self, secret: dict[str, Any], command: c.PatchMeta) -> str | None:
        if secret["deleted"]:
            return "deleted"
        if command.if_version not in (None, secret["version"]):
            return "conflict"
        asked = (command.not_before_ms, command.expires_ms)
        begin, end = (old if new is c.KEEP else new for old, new in zip(secret["window"], asked, strict=True))
        if begin is not None and end is not None and end <= begin:
            return "invalid"
        secret["window"] = (begin, end)
        return None

    def delete(self, secret: dict[str, Any], command: c.Delete) -> str | None:
        if secret["deleted"]:
            return "deleted"
        if command.if_version not in (None, secret["version"]):
            return "conflict"
        secret["deleted"] = True
        return None

    def undelete(self, secret: dict[str, Any], _: c.Undelete) -> str | None:
        if not secret["deleted"]:
            return "conflict"
        secret["deleted"] = False
        return None

    def purge(self, secret: dict[str, Any], command: c.Purge) -> str | None:
        if command.if_version not in (None, secret["version"]):
            return "conflict"
        del self.secrets[command.name]
        self.purged.append((command.name, secret["version"]))
        return None

    def grant(self, secret: dict[str, Any], command: c.Grant) -> str | None:
        if secret["deleted"]:
            return "deleted"
        secret["grants"] |= set(command.grants)
        return "too_large" if len(secret["grants"]) > LIMITS.grants else None

    def revoke(self, secret: dict[str, Any], command: c.Revoke) -> str | None:
        secret["grants"] -= set(command.grants)
        return None

    def rollback(self, secret: dict[str, Any], command: c.Rollback) -> str | None:
        if secret["deleted"]:
            return "deleted"
        if command.if_version not in (None, secret["version"]) or command.to == secret["version"]:
            return "conflict"
        if command.to not in secret["old"]:
            return "not_found"
        self.renew(secret, secret["old"][command.to])
        return None

    def forget(self) -> None:
        """Tombstones serve names without a record; beyond the limit the oldest only raise the floor."""
        self.purged = [(name, version) for name, version in self.purged if name not in self.secrets]
        while len(self.purged) > LIMITS.tombstones:
            self.floor = max(self.floor, self.purged.pop(0)[1])


def shown(store: Store) -> dict[str, dict[str, Any]]:
    """The store in the words of the model."""
    out = {}
    for record in store.list(limit=1000):
        out[record.name] = {
            "version": record.version,
            "created": record.created_ms,
            "updated": record.updated_ms,
            "old": {
                old.version: {"sealed": old.sealed, "fields": old.fields, "id": old.write_id, "key": old.generation}
                for old in record.history
            },
            "grants": set(record.grants),
            "content": {
                "sealed": record.sealed,
                "fields": record.fields,
                "id": record.write_id,
                "key": record.generation,
            },
            "deleted": record.deleted,
            "window": (record.not_before_ms, record.expires_ms),
            "index": record.index,
        }
    return out


def filled(machine: StoreMachine) -> bool:
    """On an empty store all but put have one boring answer."""
    return bool(machine.model.secrets)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store, self.twin, self.model = Store(LIMITS), Store(LIMITS), Model()
        self.index = 0
        self.sent: list[c.Command] = []
        self.highest: dict[str, int] = {}
        self.seen: dict[str, tuple[Any, ...] | None] = {}

    def common(self, t: int) -> dict[str, Any]:
        return {"rid": (len(self.sent) + 1).to_bytes(16, "big"), "t": t, "actor": ACTOR}

    def run(self, command: c.Command, gap: int = 1) -> None:
        if command not in self.sent:
            self.sent.append(command)
        self.index += gap
        data = c.encode(command)
        packed = self.store.apply(self.index, data)
        assert packed == self.twin.apply(self.index, data), "two stores answer alike"
        answer = msgpack.unpackb(packed)
        expected = self.model.do(self.index, command)
        self.model.forget()
        got = ("ok", answer["name"], answer["version"], answer["index"]) if answer["ok"] else answer["code"]
        assert got == expected, answer

    def name(self, pick: int) -> str:
        names = [*sorted(self.model.secrets) * 6, *ALL]
        return names[pick % len(names)]

    def below(self, name: str, step: int | None) -> int | None:
        """The current version less `step`, at least 1."""
        version = self.model.secrets.get(name, {"version": 3})["version"]
        return None if step is None else max(1, version - step)

    @rule(
        pick=PICKS,
        t=TIMES,
        size=st.integers(1, 120),
        fields=st.sampled_from([(("value", 1),), (("k", 1), ("l", 2))]),
        grants=st.none() | GRANTS,
        guard=st.sampled_from([None, None, None, 0, 1, "new"]),
        window=st.sampled_from([(None, None), (5, None), (None, 9), (5, 9), (c.KEEP, c.KEEP), (c.KEEP, 4)]),
    )
    def put(self, pick: int, t: int, size: int, fields: Any, grants: Any, guard: Any, window: Any) -> None:
        name = self.name(pick)
        if_version = 0 if guard == "new" else self.below(name, guard)
        number = len(self.sent)
        content = {"generation": number % 3, "write_id": b"id%d" % number, "sealed": bytes([number % 251]) * size}
        begin, end = window
        self.run(
            c.Put(
                name=name,
                fields=fields,
                grants=grants,
                if_version=if_version,
                not_before_ms=begin,
                expires_ms=end,
                **content,
                **self.common(t),
            )
        )

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, begin=st.sampled_from([None, 3, 9]), end=st.sampled_from([None, c.KEEP, 9, 20]))
    def patch_meta(self, pick: int, t: int, begin: int | None, end: Any) -> None:
        if not (begin == 9 and end == 9):
            self.run(c.PatchMeta(name=self.name(pick), not_before_ms=begin, expires_ms=end, **self.common(t)))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, end=st.sampled_from([None, 2, 7]), guard=GUARDS)
    def patch_end(self, pick: int, t: int, end: int | None, guard: int | None) -> None:
        name = self.name(pick)
        if_version = self.below(name, guard)
        self.run(c.PatchMeta(name=name, expires_ms=end, if_version=if_version, **self.common(t)))

    @rule(
        picks=st.lists(PICKS, min_size=1, max_size=3),
        wrong=st.sampled_from([0, 0, 0, 0, 1]),
        kinds=st.lists(st.sampled_from(["put", "put", "grant", "revoke", "window"]), min_size=1, max_size=4),
        size=st.integers(1, 90),
        grants=GRANTS,
    )
    def batch(self, picks: list[int], wrong: int, kinds: list[str], size: int, grants: list[str]) -> None:
        names = sorted({self.name(pick) for pick in picks})
        number = len(self.sent)
        common = self.common(number)
        content = {"fields": (("value", 1),), "generation": 1, "sealed": bytes([number % 251]) * size}

        def change(place: int, kind: str) -> Any:
            name = names[place % len(names)]
            if kind == "put":
                return c.Put(name=name, write_id=b"b%d.%d" % (number, place), expires_ms=c.KEEP, **content, **common)
            if kind == "window":
                return c.PatchMeta(name=name, expires_ms=6, **common)
            return (c.Grant if kind == "grant" else c.Revoke)(name=name, grants=grants, **common)

        known = self.model.secrets
        expect = tuple((name, known.get(name, {"index": 0})["index"] + wrong) for name in names)
        changes = tuple(change(place, kind) for place, kind in enumerate(kinds))
        self.run(c.Batch(expect=expect, changes=changes, **common))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, guard=GUARDS)
    def delete(self, pick: int, t: int, guard: int | None) -> None:
        name = self.name(pick)
        self.run(c.Delete(name=name, if_version=self.below(name, guard), **self.common(t)))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, guard=GUARDS)
    def purge(self, pick: int, t: int, guard: int | None) -> None:
        name = self.name(pick)
        self.run(c.Purge(name=name, if_version=self.below(name, guard), **self.common(t)))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES)
    def undelete(self, pick: int, t: int) -> None:
        self.run(c.Undelete(name=self.name(pick), **self.common(t)))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, grants=GRANTS, kind=st.sampled_from([c.Grant, c.Revoke]))
    def regrant(self, pick: int, t: int, grants: list[str], kind: Any) -> None:
        self.run(kind(name=self.name(pick), grants=grants, **self.common(t)))

    @precondition(filled)
    @rule(pick=PICKS, t=TIMES, step=STEPS, guard=GUARDS)
    def rollback(self, pick: int, t: int, step: int, guard: int | None) -> None:
        name = self.name(pick)
        to, if_version = self.below(name, step), self.below(name, guard)
        self.run(c.Rollback(name=name, to=to or 1, if_version=if_version, **self.common(t)))

    @rule(pick=PICKS, sizes=st.lists(st.integers(1, 60), min_size=1, max_size=3))
    def write(self, pick: int, sizes: list[int]) -> None:
        """Plain writes, several in a row: what the others work on."""
        for size in sizes:
            self.put_plain(self.name(pick), size)

    def put_plain(self, name: str, size: int) -> None:
        number = len(self.sent)
        content = {"generation": 1, "write_id": b"id%d" % number, "sealed": bytes([number % 251]) * size}
        self.run(c.Put(name=name, fields=(("value", 1),), **content, **self.common(number)))

    @rule(t=TIMES, generation=st.integers(0, 4))
    def add_key(self, t: int, generation: int) -> None:
        self.run(c.AddKey(generation=generation, wrapped=b"k%d" % len(self.sent), **self.common(t)))

    @rule(data=st.data(), gap=st.integers(1, 4))
    def retry(self, data: st.DataObject, gap: int) -> None:
        if self.sent:
            self.run(data.draw(st.sampled_from(self.sent)), gap)

    @rule()
    def restart(self) -> None:
        """A new process loads the snapshot of the old one."""
        chunks = list(self.store.capture())
        self.store = Store(LIMITS)
        self.store.adopt(Store.load(chunks))
        assert {change.name for change in self.store.drain_changes()} == set(self.model.secrets)
        self.seen = {name: self.row(name) for name in self.model.secrets}

    @rule()
    def install(self) -> None:
        """A running store adopts what another one captured."""
        self.store.adopt(Store.load(self.twin.capture()))

    @rule()
    def drain(self) -> None:
        """Whoever follows the changes knows of every name that is not as it was."""
        changed = [change.name for change in self.store.drain_changes()]
        assert len(changed) == len(set(changed))
        now = {name: self.row(name) for name in self.model.secrets}
        different = {name for name in now.keys() | self.seen.keys() if now.get(name) != self.seen.get(name)}
        assert different <= set(changed)
        self.seen = now

    def row(self, name: str) -> tuple[Any, ...] | None:
        record = self.store.get(name)
        return None if record is None else (record.index, record.version, record.deleted, record.grants)

    @invariant()
    def the_same_as_the_model(self) -> None:
        assert shown(self.store) == self.model.secrets
        assert len(self.store) == sum(not secret["deleted"] for secret in self.model.secrets.values())
        assert self.store.keys == self.model.keys and self.store.index == self.index
        assert self.store.stored_bytes == sum(map(weigh_all, self.model.secrets.values()))
        assert self.store.tombstones == len(self.model.purged) <= LIMITS.tombstones

    @invariant()
    def the_same_as_the_twin(self) -> None:
        assert list(self.store.capture()) == list(self.twin.capture())

    @invariant()
    def versions_never_go_back(self) -> None:
        for record in self.store.list(limit=1000):
            assert record.version >= self.highest.get(record.name, 0)
            self.highest[record.name] = record.version


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.lists(st.tuples(NAMES, st.integers(0, 5), st.integers(1, 90)), max_size=60), st.integers(0, 60))
@settings(deadline=None)
def test_a_restart_anywhere_changes_no_answer_and_no_byte(steps: list[tuple[str, int, int]], cut: int) -> None:
    one, two = Store(LIMITS), Store(LIMITS)
    for number, (name, kind, size) in enumerate(steps, start=1):
        common: dict[str, Any] = {"rid": (number // 2).to_bytes(16, "big"), "t": number, "actor": ACTOR, "name": name}
        content: dict[str, Any] = {"fields": [("value", 1)], "generation": 1, "write_id": b"w", "sealed": bytes(size)}
        command = c.Delete(**common) if kind == 1 else c.Purge(**common) if kind == 2 else c.Put(**common, **content)
        if number == cut:
            two = Store(LIMITS)
            two.adopt(Store.load(one.capture()))
        assert one.apply(number, c.encode(command)) == two.apply(number, c.encode(command))
    assert list(one.capture()) == list(two.capture())
