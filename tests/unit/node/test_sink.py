"""Audit lines on their way out: none lost at the end, in order, and a stuck or broken stream stops nothing."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from pathlib import Path

import pytest

from node import sink as module
from node.chain import Chain, Place, hash_of
from node.errors import Fatal
from node.sink import AppendFile, Output, Sink

KEY = bytes(32)


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


def line(number: int | str) -> str:
    return json.dumps({"event": "x", "n": number})


def numbers(text: str) -> list[object]:
    return [found.get("n", found["event"]) for found in map(json.loads, text.splitlines())]


def until(condition) -> bool:
    patience = time.monotonic() + 20
    while not condition() and time.monotonic() < patience:
        time.sleep(0.005)
    return bool(condition())


def test_every_line_is_written_in_order_at_the_end() -> None:
    stream = io.StringIO()
    sink = Sink(stream, Chain("a", KEY))
    for number in range(5000):
        sink.put(line(number))
    assert sink.close(10)
    assert numbers(stream.getvalue()) == [*range(5000), "audit.end"]
    assert [json.loads(each)["seq"] for each in stream.getvalue().splitlines()] == list(range(5001))


def test_a_line_is_written_without_being_asked_for() -> None:
    stream = io.StringIO()
    sink = Sink(stream, Chain("a", KEY))
    sink.put(line("one"))
    assert until(stream.getvalue) and numbers(stream.getvalue()) == ["one"]
    assert sink.close(10)


def test_a_stuck_reader_stops_nobody_is_said_and_what_did_not_fit_is_counted(monkeypatch) -> None:
    monkeypatch.setattr(module, "QUEUE", 1000)
    monkeypatch.setattr(module, "STUCK", 0.01)
    stream = Stuck()
    sink = Sink(stream, Chain("a", KEY), "the collector")
    sink.put(line("first"))
    assert stream.asked.wait(10)
    for _ in range(50):
        sink.put(line("x" * 100))  # returns although nobody reads
    assert until(sink.trouble) and "audit lines do not reach the collector: nobody has taken" in sink.trouble()
    figures = sink.figures()
    assert figures["stuck"] == 1 and 30 < figures["dropped"] < 50 and figures["queued"] >= 1000
    assert f"{figures['dropped']} lines were left out" in sink.trouble()
    assert not sink.close(0.05)
    stream.freed.set()
    assert sink.close(10) and not sink.trouble()
    first, *kept, overflow, end = map(json.loads, stream.getvalue().splitlines())
    assert first["n"] == "first" and end["event"] == "audit.end"
    assert overflow["event"] == "audit.overflow"
    assert overflow["lines_left_out"] == 50 - len(kept) == figures["dropped"]


def test_a_stream_that_is_gone_is_said_and_survived(caplog) -> None:
    stream = io.StringIO()
    stream.close()
    sink = Sink(stream, Chain("a", KEY), "standard output")
    sink.put(line("one"))
    assert until(sink.trouble)
    assert not sink.close(10)
    assert "audit lines could not be written to standard output" in caplog.text


def test_a_full_disk_loses_nothing_and_tears_no_line(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    room, write = [30], os.write

    def full(handle: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = write(handle, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(module.os, "write", full)
    path = tmp_path / "audit.log"
    sink = Sink(AppendFile(path), Chain("a", KEY), "the file")
    for number in range(3):
        sink.put(line(number))
    assert until(sink.trouble) and "No space left on device" in sink.trouble()
    assert path.stat().st_size == 30
    room[0] = 1 << 20
    assert until(lambda: not sink.trouble())
    assert sink.close(10)
    assert numbers(path.read_text()) == [0, 1, 2, "audit.end"]


def test_a_file_that_was_moved_away_is_made_again_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    sink = Sink(AppendFile(path), Chain("a", KEY))
    sink.put(line(0))
    assert until(lambda: path.read_text())
    path.rename(tmp_path / "audit.log.1")
    sink.put(line(1))
    assert sink.close(10)
    assert numbers((tmp_path / "audit.log.1").read_text()) == [0]
    assert [json.loads(each)["seq"] for each in path.read_text().splitlines()] == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Fatal, match="SAFE_AUDIT_FILE"):
        AppendFile(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_descriptor_that_takes_little_at_a_time(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    out = Output(writing)
    taken = bytearray()
    reader = threading.Thread(target=lambda: taken.extend(iter_all(reading)))
    reader.start()
    out.write("ä" * 300_000)
    out.flush()
    os.close(writing)
    reader.join(20)
    assert taken.decode() == "ä" * 300_000


def iter_all(handle: int) -> bytes:
    out = b""
    while chunk := os.read(handle, 4096):
        out += chunk
    os.close(handle)
    return out


def test_a_file_tells_what_was_the_last_line_in_it(monkeypatch, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    first = AppendFile(path)
    assert first.last is None
    assert Sink(first, Chain("a", KEY)).close(10)
    again = AppendFile(path)
    assert again.last == Place("a", 0, hash_of(path.read_bytes().splitlines()[-1]))
    monkeypatch.setattr(module, "TAIL", 10)
    assert AppendFile(path).last is None


def test_a_line_that_a_crash_tore_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    assert Sink(AppendFile(path), Chain("a", KEY)).close(10)
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    file = AppendFile(path)
    assert file.last is not None and file.last.seq == 0
    assert Sink(file, Chain("b", KEY)).close(10)
    one, torn, two = path.read_text().splitlines()
    assert (one + "\n", torn, json.loads(two)["chain"]) == (whole, whole[:20], "b")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(Fatal, match="SAFE_AUDIT_FILE"):
            AppendFile(wrong)


def test_what_is_put_in_place_of_the_file_later_is_not_written_to(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    path = tmp_path / "audit.log"
    sink = Sink(AppendFile(path), Chain("a", KEY), "the file")
    path.rename(tmp_path / "old")
    os.mkfifo(path)
    sink.put(line(0))
    assert until(sink.trouble) and "not a regular file" in sink.trouble()
    path.unlink()
    assert until(lambda: not sink.trouble()) and sink.close(10)
    assert numbers(path.read_text()) == [0, "audit.end"]
