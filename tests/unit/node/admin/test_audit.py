"""The audit line and its limit for strangers."""

from __future__ import annotations

import io
import json

import pytest

from node import audit as shared
from node.admin import audit
from node.admin.context import Context
from node.tokens.person import Person


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wall_ms(self) -> int:
        return 1_700_000_000_000

    def uniform(self, low: float, high: float) -> float:
        return low

    def token(self, size: int) -> bytes:
        return bytes(size)


class Written:
    """A stream, and what has come to it once the queue is empty."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.install()

    def install(self) -> None:
        shared.install("safe-0", bytes(32), {"here": self.stream}, Hands())

    def getvalue(self) -> str:
        """Without the lines of the log about itself, and without the links of the chain."""
        assert shared.uninstall(10)
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        links = ("chain", "seq", "prev", "mac")
        admin = [line for line in lines if not line["event"].startswith("audit.")]
        text = "\n".join(json.dumps({key: line[key] for key in line if key not in links}) for line in admin)
        self.install()
        return text


@pytest.fixture
def stream():
    yield Written()
    shared.uninstall(10)


def context(clock: Hands, subject: str | None) -> Context:
    person = None if subject is None else Person(subject, groups=("devs",))
    more = {"subject": subject, "person": person, "name": "a/b", "version": 2, "index": 7}
    return Context("r1", "secret.put", "10.0.0.1", 0.0, clock, **more)


def test_the_line(stream):
    clock = Hands()
    audit.Audit("safe-0", clock).write(context(clock, "me"), 3, 200, "ok")
    assert json.loads(stream.getvalue()) == {
        "event": "admin.secret.put",
        "at_ms": 1_700_000_000_000,
        "node": "safe-0",
        "peer": "10.0.0.1",
        "subject": "me",
        "groups": ["devs"],
        "secret": "a/b",
        "version": 2,
        "index": 7,
        "status": 200,
        "result": "ok",
        "reason": None,
        "took_ms": 3,
        "request_id": "r1",
    }


def test_the_lines_go_nowhere_else(stream, logged):
    clock = Hands()
    audit.Audit("safe-0", clock).write(context(clock, "me"), 3, 200, "ok")
    assert stream.getvalue() and logged.lines == []


def test_strangers_get_so_many_lines_a_second_and_admins_all(stream):
    clock = Hands()
    lines = audit.Audit("safe-0", clock)
    for _ in range(shared.STRANGERS + 50):
        lines.write(context(clock, None), 0, 401, "unauthenticated")
    for _ in range(300):
        lines.write(context(clock, "me"), 0, 200, "ok")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(written) == shared.STRANGERS + 300
    assert [line["lines_left_out"] for line in written if "lines_left_out" in line] == [50]
    clock.time += 1
    lines.write(context(clock, None), 0, 401, "unauthenticated")
    assert len(stream.getvalue().splitlines()) == shared.STRANGERS + 301


def test_refusals_are_counted_and_what_was_done_is_not(stream):
    clock = Hands()
    log = audit.Audit("safe-0", clock)
    for result in ("ok", "forbidden", "forbidden", "conflict"):
        log.write(context(clock, "me"), 1, 200, result)
    assert log.refusals == {"admin.secret.put forbidden": 2, "admin.secret.put conflict": 1}


def test_who_asks_too_much_gets_so_many_lines_a_second_and_is_counted(stream):
    clock = Hands()
    log = audit.Audit("safe-0", clock)
    for _ in range(shared.STRANGERS + 50):
        log.write(context(clock, "me"), 0, 429, "too_many_requests")
    log.write(context(clock, "me"), 0, 200, "ok")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(written) == shared.STRANGERS + 1 and written[-1]["lines_left_out"] == 50
    assert log.refusals == {"admin.secret.put too_many_requests": shared.STRANGERS + 50}
