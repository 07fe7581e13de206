"""What is installed: every line to every stream, each a chain of its own that says where it begins."""

from __future__ import annotations

import io
import json
from pathlib import Path

from node import audit
from node.chain import hash_of
from node.clock import SystemClock
from node.sink import AppendFile


def test_every_line_goes_to_every_stream_in_a_chain_of_its_own() -> None:
    streams = {"one": io.StringIO(), "two": io.StringIO()}
    audit.install("safe-0", bytes(32), streams, SystemClock())
    audit.AuditLog("safe-0", SystemClock()).emit("x.y", "peer", {"a": 1}, known=True)
    assert audit.trouble() == "" and set(audit.figures()) == {"one", "two"}
    assert audit.uninstall(10)
    found = {name: [json.loads(line) for line in stream.getvalue().splitlines()] for name, stream in streams.items()}
    for name, (begin, line, end) in found.items():
        assert begin["event"] == "audit.begin" and begin["node"] == "safe-0" and begin["to"] == name
        assert begin["key"] == audit.key_id(bytes(32)) and begin["boot"] and begin["pid"]
        assert line["event"] == "x.y" and line["a"] == 1 and end["event"] == "audit.end"
        assert begin["chain"] == line["chain"] == end["chain"]
    assert found["one"][0]["chain"] != found["two"][0]["chain"]


def test_a_start_names_the_last_line_before_it_in_the_same_file(tmp_path: Path) -> None:
    path, begun = tmp_path / "audit.log", []
    for _ in range(3):
        audit.install("safe-0", bytes(32), {"out": io.StringIO(), "file": AppendFile(path)}, SystemClock())
        assert audit.uninstall(10)
        begun.append(path.read_bytes().splitlines()[-2:])
    first, second, third = (json.loads(begin) for begin, _ in begun)
    assert first["after"] is None
    for (_, end), after in ((begun[0], second["after"]), (begun[1], third["after"])):
        assert after == {"chain": json.loads(end)["chain"], "seq": 1, "hash": hash_of(end)}
