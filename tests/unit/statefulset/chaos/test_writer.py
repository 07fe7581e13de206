"""The writing process against a real admin API: what it says, and that SIGTERM ends it in order."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from statefulset.chaos import history
from statefulset.chaos.tally import Written, documents, lacking, written

from ..cli import conftest as stores
from ..farside.kubelet import process

server, tls = stores.server, stores.tls


def test_it_puts_rotates_and_says_its_last_words(tmp_path: Path, server: Any, tls: Any) -> None:
    tls.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "token").write_text("good-token")
    secrets = [{"name": f"demo/{name}", "fields": ["value"], "grants": ["demo/*"]} for name in ("a", "b")]
    asked = {
        "servers": ["https://127.0.0.1:1", server.url], "ca": str(tmp_path / "ca.pem"), "token": str(tmp_path / "token"),
        "seed": 1, "shares": [{"period": 0.1, "secrets": secrets}], "tell": 0.1,
    }  # fmt: skip
    log = tmp_path / "log"
    command = [sys.executable, "-m", "statefulset.chaos.writer", json.dumps(asked)]
    running = process(command, log, {"PATH": os.environ["PATH"]})
    try:

        def until(condition: Any) -> Written:
            deadline = time.monotonic() + 60
            while not condition(found := written(documents(log.read_text()))):
                assert time.monotonic() < deadline and running.poll() is None, log.read_text()
                time.sleep(0.05)
            return found

        assert {ack.secret for ack in until(lambda found: found.ready).acks} == {"demo/a", "demo/b"}
        until(lambda found: len(found.acks) > 6)
        running.send_signal(signal.SIGTERM)
        found = until(lambda found: found.ended)
        assert running.poll() is None, "it stays, for its log to be read"
    finally:
        running.kill()
        running.wait(30)
    assert not lacking(documents(log.read_text())) and not found.failed and not found.problem
    assert history.miscounted(sorted(found.acks, key=lambda ack: ack.at)) == []
    final = {name: server.node.store.get(name).version for name in found.tried}
    assert history.misplaced(found.acks, found.tried, final) == []
