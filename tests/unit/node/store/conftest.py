"""A store with a log of its own: commands get fresh ids and the next position."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from node.store import commands as c
from node.store.fsm import Store
from node.store.records import Limits

CANARY = b"CANARY-sealed-bytes"


class Log:
    """`do` applies a command and returns its answer, unpacked."""

    def __init__(self, **limits: int) -> None:
        self.store = Store(Limits(**limits))
        self._rids = itertools.count(1)

    def common(self, t: int = 1000) -> dict[str, Any]:
        return {"rid": next(self._rids).to_bytes(16, "big"), "t": t, "actor": "system:serviceaccount:ops:admin"}

    def put(self, name: str = "a/b", t: int = 1000, **more: Any) -> c.Put:
        values = {"fields": (("value", 3),), "generation": 1, "write_id": b"w" * 16, "sealed": CANARY, **more}
        return c.Put(name=name, **self.common(t), **values)

    def make(self, kind: type[Any], name: str = "a/b", t: int = 1000, **more: Any) -> Any:
        return kind(name=name, **self.common(t), **more)

    def key(self, generation: int, wrapped: bytes = b"wrapped") -> c.AddKey:
        return c.AddKey(generation=generation, wrapped=wrapped, **self.common())

    def do(self, command: c.Command) -> dict[str, Any]:
        answer: dict[str, Any] = msgpack.unpackb(self.store.apply(self.store.index + 1, c.encode(command)))
        return answer

    def version(self, command: c.Command) -> int:
        answer = self.do(command)
        assert answer["ok"], answer
        version: int = answer["version"]
        return version

    def code(self, command: c.Command) -> str:
        """The code of a refusal, which must have changed nothing but the sessions."""
        before, size = list(self.store.list()), self.store.stored_bytes
        self.store.drain_changes()
        answer = self.do(command)
        assert set(answer) == {"ok", "code", "message", "hint"} and not answer["ok"] and answer["hint"], answer
        assert self.store.list() == before and self.store.stored_bytes == size and not self.store.drain_changes()
        code: str = answer["code"]
        return code


@pytest.fixture
def make_log() -> Callable[..., Log]:
    return Log


@pytest.fixture
def log() -> Log:
    return Log()
