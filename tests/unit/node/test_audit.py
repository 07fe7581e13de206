"""Audit lines on their way out: none lost at the end, in order, and a stuck reader stops nothing."""

from __future__ import annotations

import io
import json
import threading
import time

from node import audit


class Stuck(io.StringIO):
    """Takes nothing until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.freed = threading.Event()

    def write(self, text: str) -> int:
        self.asked.set()
        self.freed.wait(30)
        return super().write(text)


def test_every_line_is_written_in_order_at_the_end() -> None:
    stream = io.StringIO()
    sink = audit.Sink(stream)
    for number in range(5000):
        sink.put(str(number))
    assert sink.close(10)
    assert stream.getvalue().splitlines() == [str(number) for number in range(5000)]


def test_a_line_is_written_without_being_asked_for() -> None:
    stream = io.StringIO()
    sink = audit.Sink(stream)
    sink.put("one")
    patience = time.monotonic() + 10
    while not stream.getvalue() and time.monotonic() < patience:
        time.sleep(0.005)
    assert stream.getvalue() == "one\n"
    assert sink.close(10)


def test_a_stuck_reader_stops_nobody_and_what_did_not_fit_is_counted(monkeypatch) -> None:
    monkeypatch.setattr(audit, "QUEUE", 1000)
    stream = Stuck()
    sink = audit.Sink(stream)
    sink.put("first")
    assert stream.asked.wait(10)
    for _ in range(50):
        sink.put("x" * 100)  # returns although nobody reads
    assert not sink.close(0.05)
    stream.freed.set()
    assert sink.close(10)
    first, *lines, last = stream.getvalue().splitlines()
    kept = len(lines)
    assert first == "first" and 9 <= kept <= 10
    assert json.loads(last) == {"event": "audit.overflow", "lines_left_out": 50 - kept}


def test_a_stream_that_is_gone_is_said_and_survived(caplog) -> None:
    stream = io.StringIO()
    stream.close()
    sink = audit.Sink(stream)
    sink.put("one")
    assert sink.close(10)
    assert "1 audit lines could not be written" in caplog.text
