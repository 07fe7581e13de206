"""The real process with rendered files and a word to the application, against a node of the test's making."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

import pytest

from sidecar.wire import messages as m

CANARY = b"canary-3f9a"


def value(rig, name):
    try:
        return (rig.mount / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(folder, name):
    """A file below the descriptor of a folder."""
    with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
        return file.read()


def last_receipt(node):
    nothing = m.Receipt(0, {}, "", 0)  # a loaded machine may not have sent one yet
    return next((peer.receipts()[-1] for peer in reversed(node.peers) if peer.receipts()), nothing)


class App:
    """An application of the pod that counts what it is asked, or answers with `status`, or not at all."""

    def __init__(self):
        self.asked = []
        self.status = 200
        self.hang = False
        self.port = 0

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        if not self.hang:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)
            writer.close()

    def url(self, path="/reload"):
        return f"http://127.0.0.1:{self.port}{path}"


async def test_rendered_files_are_of_the_generation_of_their_secrets(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"user": b"u1", "password": b"it's 1"})
    template = rig.folder / "app.j2"
    template.write_text("{% for name, fields in secrets | dictsort %}{{ name }}={{ fields.user }};{% endfor %}\n")
    rules = f"app.env=env:db; conf/app.yaml=yaml; app.conf=template:{template}"
    await rig.start("run", SAFE_RENDER=rules)
    await wait_until(lambda: value(rig, "app.env"))
    assert value(rig, "app.env") == b"PASSWORD='it'\\''s 1'\nUSER=u1\n"
    assert value(rig, "conf/app.yaml") == b'"db":\n  "password": "it\'s 1"\n  "user": "u1"\n'
    assert value(rig, "app.conf") == b"shop/db=u1;\n"
    for version in range(2, 12):
        node.put("shop/db", version, {"user": b"u%d" % version, "password": b"p%d" % version})
        await asyncio.sleep(0.03)
    end = time.monotonic() + 30
    while value(rig, "app.conf") != b"shop/db=u11;\n":
        assert time.monotonic() < end
        base = os.open(rig.mount / "..data", os.O_RDONLY)  # one generation, whatever is swapped meanwhile
        try:
            user = read(base, "db/user")
            assert read(base, "app.conf") == b"shop/db=%s;\n" % user and b"USER=%s\n" % user in read(base, "app.env")
        finally:
            os.close(base)
        await asyncio.sleep(0.01)
    await wait_until(lambda: last_receipt(node).placed == {"shop/db": 11})
    assert last_receipt(node).report.render == ""


async def test_a_template_that_fails_keeps_the_old_set_and_says_why(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"user": CANARY, "password": b"p1"})
    template = "{{ secret('db', 'user') }}:{{ secret('db', 'password') }}"
    rules = json.dumps([{"path": "app.conf", "format": "template", "template": template}])
    process = await rig.start("run", SAFE_RENDER=rules)
    await wait_until(lambda: value(rig, "app.conf") == CANARY + b":p1")
    node.put("shop/db", 2, {"user": CANARY, "other": b"p2"})
    await wait_until(lambda: last_receipt(node).error == "render_failed")
    said = last_receipt(node).report.render
    assert said == "app.conf: line 1: a value is missing or unfit: db has no field password"
    assert last_receipt(node).placed == {"shop/db": 1}
    await wait_until(lambda: rig.status()["render"] == said)  # it follows the receipt
    assert rig.status()["error"] == "render_failed"
    assert value(rig, "app.conf") == CANARY + b":p1" and value(rig, "db/password") == b"p1"
    node.put("shop/db", 3, {"user": CANARY, "password": b"p3"})
    await wait_until(lambda: value(rig, "app.conf") == CANARY + b":p3")
    await wait_until(lambda: last_receipt(node).report.render == "" and rig.status()["render"] == "")
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert b"has no field password" in err and CANARY not in out + err


@pytest.mark.parametrize("kind", ["env", "template"])
async def test_what_is_revoked_leaves_the_pod_with_the_files_made_of_it_whatever_else_fails(rig, wait_until, kind):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": CANARY})
    node.put("shop/api", 1, {"user": b"u1"})
    text = "{{ secret('db') }} {{ secret('api', 'user') }}"
    more = {"secrets": ["db", "api"]} if kind == "env" else {"template": text}
    template = rig.folder / "strict.j2"
    template.write_text("{{ secret('api', 'user') }}")
    strict = {"path": "strict", "format": "template", "template_file": str(template), "secrets": ["api"]}
    rules = json.dumps([{"path": "app.conf", "format": kind, **more}, strict])
    process = await rig.start("run", SAFE_RENDER=rules)
    await wait_until(lambda: CANARY in (value(rig, "app.conf") or b""))
    node.put("shop/api", 2, {"other": b"u2"})  # fails, and is still to be placed when the word comes
    await wait_until(lambda: last_receipt(node).error == "render_failed")
    assert CANARY in value(rig, "app.conf")
    template.write_text("{{ broken")  # and so does a template that has nothing to do with what is taken away
    node.delete("shop/db")
    await wait_until(lambda: value(rig, "app.conf") is None and value(rig, "db") is None)
    assert value(rig, "api/user") == b"u1" == value(rig, "strict"), "the rest of the old set is kept"
    await wait_until(lambda: last_receipt(node).placed == {"shop/api": 1})
    said = "app.conf is removed: it is made of shop/db, which was taken away"
    assert said in last_receipt(node).report.render and last_receipt(node).error == "render_failed"
    await wait_until(lambda: said in rig.status()["render"])  # it follows the receipt
    await wait_until(lambda: not any(CANARY in path.read_bytes() for path in rig.mount.rglob("*") if path.is_file()))
    template.write_text("{{ secret('api', 'user') }}")
    node.put("shop/api", 3, {"user": b"u3"})
    await wait_until(lambda: value(rig, "strict") == b"u3" and last_receipt(node).error == "")
    assert last_receipt(node).report.render == said
    node.put("shop/db", 2, {"value": b"new"})
    await wait_until(lambda: b"new" in (value(rig, "app.conf") or b"") and last_receipt(node).report.render == "")
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert said.encode() in err and CANARY not in out + err


async def test_what_is_revoked_leaves_the_pod_whatever_a_template_of_the_whole_set_says(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": CANARY})
    node.put("shop/api", 1, {"value": b"a1"})
    template = rig.folder / "t.j2"
    template.write_text("{{ secret('db') }}")
    await rig.start("run", SAFE_RENDER=f"out=template:{template};all=env;api.env=env:api")
    await wait_until(lambda: value(rig, "out") == CANARY)
    template.write_text("{% broken")
    node.delete("shop/db")
    await wait_until(lambda: value(rig, "out") is None and value(rig, "db") is None)
    assert (value(rig, "all"), value(rig, "api.env")) == (b"API=a1\n", b"API=a1\n"), "what can be made is made"
    await wait_until(lambda: last_receipt(node).placed == {"shop/api": 1})
    assert "out is removed, as it may hold what was taken away" in last_receipt(node).report.render
    assert last_receipt(node).error == "render_failed"
    await wait_until(lambda: not any(CANARY in path.read_bytes() for path in rig.mount.rglob("*") if path.is_file()))


async def test_what_is_revoked_does_not_wait_for_a_template_it_has_nothing_to_do_with(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": CANARY})
    node.put("shop/keep", 1, {"value": b"quick"})
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    template = "{% if secret('keep') == 'slow' %}" + loop + "{% endif %}ok"
    rule = {"path": "app.conf", "format": "template", "template": template, "secrets": ["keep"]}
    process = await rig.start("run", SAFE_RENDER=json.dumps([rule]))
    await wait_until(lambda: value(rig, "app.conf") == b"ok")
    node.put("shop/keep", 2, {"value": b"slow"})
    await wait_until(lambda: children(process.pid))
    node.delete("shop/db")
    begin = time.monotonic()
    await wait_until(lambda: value(rig, "db") is None)
    print(f"gone {time.monotonic() - begin:.3f} s after the word")
    assert not any(receipt.error for peer in node.peers for receipt in peer.receipts()), "long before it is given up"
    await wait_until(lambda: last_receipt(node).placed == {"shop/keep": 1})
    assert value(rig, "app.conf") == b"ok"
    node.put("shop/keep", 3, {"value": b"quick"})
    await wait_until(lambda: last_receipt(node).placed == {"shop/keep": 3})
    assert await stopped(process) == 0


async def test_what_a_process_could_not_tell_before_it_died_the_next_one_tells_once(rig, wait_until):
    app = await App().start()
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})

    async def sidecar(debounce):
        peers = len(node.peers)
        process = await rig.start("run", SAFE_NOTIFY=f"http POST {app.url()} debounce={debounce}")
        await wait_until(lambda: len(node.peers) > peers and node.peers[-1].receipts())
        return process

    first = await sidecar(60)
    node.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: value(rig, "db") == b"v2")
    first.kill()
    await first.wait()
    second = await sidecar(0.1)
    await wait_until(lambda: last_receipt(node).report.notified == 1)
    second.kill()
    await second.wait()
    await sidecar(0.1)
    await asyncio.sleep(0.5)
    assert app.asked == ["POST /reload HTTP/1.1"]


async def test_an_application_is_told_after_the_swap_and_the_node_hears_of_it(rig, wait_until):
    app = await App().start()
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    await rig.start("run", SAFE_NOTIFY=f"http POST {app.url()} debounce=0.3")
    await wait_until(lambda: value(rig, "db") == b"v1")
    for version in range(2, 6):
        node.put("shop/db", version, {"value": b"v%d" % version})
    await wait_until(lambda: last_receipt(node).report.notified == 1)
    assert app.asked == ["POST /reload HTTP/1.1"], "one word for a burst, none for the first set"
    app.status = 503
    node.put("shop/db", 6, {"value": b"v6"})
    await wait_until(lambda: "503" in last_receipt(node).report.notify)
    await wait_until(lambda: "503" in rig.status()["notify"])
    assert value(rig, "db") == b"v6"
    app.status = 200
    await wait_until(lambda: last_receipt(node).report.notify == "")
    assert last_receipt(node).report.notified == 2 and last_receipt(node).report.notify_failed == 0


async def test_an_application_that_does_not_answer_delays_nothing_and_the_end_is_at_once(rig, wait_until):
    app = await App().start()
    app.hang = True
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    notify = f"http POST {app.url()} debounce=0.1 timeout=60 first=yes"
    process = await rig.start("run", SAFE_NOTIFY=notify)
    await wait_until(lambda: app.asked)
    node.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: value(rig, "db") == b"v2")
    assert await stopped(process) == 0


async def stopped(process):
    """Its exit code. Nothing here may take a second; the bound is of a machine under load."""
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    await process.communicate()
    took = time.monotonic() - begin
    print(f"ended {took:.3f} s after SIGTERM")
    assert took < 5
    return process.returncode


async def test_sigterm_while_a_template_runs_without_end(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    rules = json.dumps([{"path": "app.conf", "format": "template", "template": loop}])
    process = await rig.start("run", SAFE_RENDER=rules)
    await wait_until(lambda: children(process.pid))
    [child] = children(process.pid)
    assert await stopped(process) == 0
    await wait_until(lambda: not os.path.exists(f"/proc/{child}"), 10)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


async def test_a_template_without_end_is_ended_and_said(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    rules = json.dumps([{"path": "app.conf", "format": "template", "template": loop}])
    process = await rig.start("init", SAFE_RENDER=rules, SAFE_DEADLINE="8")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"app.conf: " in err and (b"it took longer" in err or b"too much time" in err)
    assert value(rig, "db") is None, "half a set is none"


@pytest.mark.parametrize("when", ["dialing", "waiting"])
async def test_sigterm_while_the_store_is_away(rig, wait_until, when):
    if when == "dialing":
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)  # takes TCP, never speaks TLS
        nodes = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    else:
        nodes = "127.0.0.1:1"
    process = await rig.start("run", SAFE_NODES=nodes)
    await wait_until(lambda: rig.status())
    assert await stopped(process) == 0


async def test_a_process_is_signalled_by_name(rig, wait_until):
    log = rig.folder / "told"
    code = (
        "import signal,sys,time\n"
        f"signal.signal(signal.SIGHUP, lambda *_: open({str(log)!r}, 'a').write('hup\\n'))\n"
        f"open({str(log)!r}, 'w').close()\n"
        "while True: time.sleep(0.05)\n"
    )
    app = rig.folder / "safe-test-app"
    app.symlink_to(sys.executable)
    process = await asyncio.create_subprocess_exec(str(app), "-c", code)
    rig.processes.append(process)
    await wait_until(log.exists)
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    await rig.start("run", SAFE_NOTIFY="signal HUP safe-test-app debounce=0.1")
    await wait_until(lambda: value(rig, "db") == b"v1")
    node.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: log.read_text() == "hup\n")
    await wait_until(lambda: last_receipt(node).report.notified == 1)


async def test_a_rendered_file_in_the_place_of_a_secret(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"user": b"u1", "password": b"p1"})
    process = await rig.start("run", SAFE_RENDER='[{"path": "db", "format": "json", "secrets": ["shop/db"]}]')
    await wait_until(lambda: value(rig, "db"))
    assert json.loads(value(rig, "db")) == {"user": "u1", "password": "p1"}
    process.kill()
    await process.wait()
    await rig.start("run")  # without it: the secret is where it belongs again
    await wait_until(lambda: value(rig, "db/user") == b"u1")
