"""SAFE_AUDIT_FILE of real nodes: whole and ended after a planned stop, whole without an end after a kill, and nowhere
in it, in the log or in the metrics the value that went through the node."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from statefulset.cli.dev import programs
from statefulset.cli.dev.check.plaintext import needles
from statefulset.cli.dev.harness import DevCluster, Options
from statefulset.cli.dev.processes import Program
from statefulset.cli.errors import CliError

VALUE = f"canary-{os.urandom(12).hex()}".encode()


class Audited(DevCluster):
    """Each node has an audit file."""

    def audit_file(self, name: str) -> Path:
        return self.home.logs / f"{name}.audit"

    def _program(self, name: str, argv: tuple[str, ...], env: dict[str, str], cwd: Path) -> Program:
        more = {"SAFE_AUDIT_FILE": str(self.audit_file(name))} if name in self.names else {}
        return super()._program(name, argv, {**env, **more}, cwd)

    def verified(self, name: str) -> dict[str, Any]:
        """What `safe audit verify` says of it with the key, as JSON. Raises AssertionError if it is not ok."""
        key = self.home.tokens / "audit.key"
        made = self._run((*programs.command("safe-node"), "audit-key", str(self.home.identity)), {}, b"", 30)
        key.write_text(made.out)
        done = self.safe("audit", "verify", str(self.audit_file(name)), "--key", str(key), "--json")
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        assert found["ok"] and found["genuine"] and not found["other"]
        return found

    def events(self, name: str) -> list[str]:
        return [str(json.loads(line)["event"]) for line in self.audit_file(name).read_text().splitlines()]

    def metrics(self, name: str) -> bytes:
        port = self.ports.nodes[self.names.index(name)].admin
        context = ssl.create_default_context(cafile=str(self.home.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=30)
        bearer = {"Authorization": f"Bearer {self.home.admin_token.read_text().strip()}"}
        connection.request("GET", "/metrics", headers=bearer)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.status == 200, text
        return text


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    with Audited(Options(port=0, private=True, restart=False)) as made:
        yield made


def changes(cluster: Audited, until: Callable[..., bool]) -> None:
    """The value through every door of every node: given, refused, revealed, delivered."""
    encoded = base64.b64encode(VALUE).decode()
    for number, server in enumerate(cluster.servers()):
        only, name = {"SAFE_SERVER": server}, f"demo/audited-{number}"
        assert cluster.safe("put", name, "--for", "demo/web", stdin=VALUE, env=only).code == 0
        assert cluster.safe("put", name, "--if-version", "99", stdin=VALUE, env=only).code == 1
        assert VALUE.decode() in cluster.safe("get", name, "--reveal", env=only).out
        assert cluster.safe("patch", name, "--field", "second", stdin=VALUE, env=only).code == 0
        with cluster.client(nodes=[cluster.names[number]]) as client, pytest.raises(CliError) as refused:
            client.change("PUT", f"/v1/secrets/{name}", body={"fields": {f"{encoded}/": encoded}})
        assert encoded not in str(refused.value)
    mount = cluster.workloads["web"].mount
    assert until(lambda: [(mount / f"audited-{n}" / "second").is_file() for n in range(3)] == [True] * 3)


def test_after_sigterm_the_audit_file_is_whole_and_ended(audited: Audited, until: Callable[..., bool]) -> None:
    changes(audited, until)
    scraped = {name: audited.metrics(name) for name in audited.names}
    stopped, killed, _ = audited.names
    audited.supervisor.end(stopped, signal.SIGTERM)
    assert audited.node(stopped).code == 0, audited.node(stopped).tail()
    found = audited.verified(stopped)
    assert (found["chains"], found["open"], found["left_out"]) == (1, 0, 0)
    events = audited.events(stopped)
    assert (events[0], events[-1]) == ("audit.begin", "audit.end")
    assert events.count("admin.secret.put") >= 3 and "admin.secret.value" in events
    wanted = needles(VALUE)
    for name in audited.names:
        log = (audited.home.logs / f"{name}.log").read_bytes()
        file = audited.audit_file(name).read_bytes()
        assert b"raftsafe_audit_lines_total" in scraped[name] and b"admin.secret.put" in file and b"audit.begin" in log
        for what, text in (("log", log), ("audit file", file), ("metrics", scraped[name])):
            assert not [needle for needle in wanted if needle in text], f"{what} of {name}"
        assert [needle for needle in wanted if needle in file + base64.b64encode(VALUE)]

    # Another start is another chain of the same file; a kill leaves one without an end, which is said and is no break.
    audited.again(stopped)
    audited.wait_ready([stopped])
    audited.kill(killed)
    assert audited.verified(killed)["open"] == 1 and "audit.end" not in audited.events(killed)
    audited.supervisor.end(stopped, signal.SIGTERM)
    found = audited.verified(stopped)
    assert (found["chains"], found["open"], found["linked"]) == (2, 0, 1)

    # And it can say otherwise: without its last line the end is missed, without another line the chain is broken.
    path = audited.audit_file(stopped)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert audited.verified(stopped)["open"] == 1
    # The same for a whole start, with and without the word that older lines are elsewhere: the third would follow it.
    audited.again(stopped)
    audited.wait_ready([stopped])
    begun = [number for number, event in enumerate(audited.events(stopped)) if event == "audit.begin"]
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[: begun[1]] + whole[begun[2] :]))
    for more in ([], ["--rotated"]):
        broken = audited.safe("audit", "verify", str(path), *more)
        assert broken.code == 1 and "is missing as a whole" in broken.err
    path.write_text("".join([*lines[:2], *lines[3:]]))
    broken = audited.safe("audit", "verify", str(path))
    assert broken.code == 1 and "is missing" in broken.err
