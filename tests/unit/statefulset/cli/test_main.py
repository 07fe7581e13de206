"""`safe` as a real process against a real HTTPS server: what is done, what is said, and the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from importlib.metadata import version

import pytest


def test_put_get_list_delete_undelete(safe, server):
    result = safe("put", "payments/db", "--for", "payments/api", stdin=b"s3cret")
    assert (result.code, result.text) == (0, "payments/db is at version 1 (6 bytes)\n")
    assert server.node.value("payments/db") == {"value": b"s3cret"}
    result = safe("get", "payments/db")
    assert result.code == 0 and "value (6 bytes)" in result.text and "payments/api" in result.text
    result = safe("list")
    assert result.code == 0 and result.text.splitlines()[1].split()[:2] == ["payments/db", "1"]
    assert safe("delete", "payments/db").code == 0
    assert "safe undelete payments/db" in safe("get", "payments/db").text
    assert safe("undelete", "payments/db").code == 0
    assert server.node.value("payments/db") == {"value": b"s3cret"}


@pytest.mark.parametrize("value", [b"\n", b"no newline", b"newline\n", b"\r\n\0\xff\xfe", os.urandom(1 << 20)])
def test_standard_input_arrives_byte_for_byte(safe, server, value):
    result = safe("put", "a/b", stdin=value)
    assert result.code == 0, result.error
    assert server.node.value("a/b") == {"value": value}


def test_files_arrive_byte_for_byte(safe, server, tmp_path):
    one, two = os.urandom(70_000), b"-----BEGIN-----\r\n\n"
    (tmp_path / "one").write_bytes(one)
    (tmp_path / "two").write_bytes(two)
    assert safe("put", "a/b", "--file", str(tmp_path / "one"), stdin=b"unread").code == 0
    assert server.node.value("a/b") == {"value": one}
    files = ("--from-file", f"tls.crt={tmp_path / 'one'}", "--from-file", f"tls.key={tmp_path / 'two'}")
    assert safe("put", "a/b", *files, stdin=b"unread").code == 0
    assert server.node.value("a/b") == {"tls.crt": one, "tls.key": two}
    assert safe("put", "a/b", "--field", "user", *files, stdin=b"me").code == 0
    assert server.node.value("a/b") == {"user": b"me", "tls.crt": one, "tls.key": two}


def at_a_terminal(safe, args: list[str], typed: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Runs `safe` with a terminal; types each text when the terminal shows what goes before it."""
    child, descriptor = pty.fork()
    if child == 0:
        # As a person's shell starts it: what runs in the background of a script inherits an ignored Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-m", "statefulset.cli", *args], safe.env)
    everything = b""
    for expected, text in typed:
        shown = b""
        while expected not in shown:
            shown += os.read(descriptor, 4096)
        everything += shown
        os.write(descriptor, text)
    try:
        while data := os.read(descriptor, 4096):
            everything += data
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), everything


def test_at_a_terminal_the_value_is_asked_for_and_not_shown(safe, server):
    typed = [(b"Value", b"typed-value\n"), (b"Once more", b"typed-value\n")]
    code, shown = at_a_terminal(safe, ["put", "a/b"], typed)
    assert code == 0 and b"version 1" in shown and b"typed-value" not in shown
    assert server.node.value("a/b") == {"value": b"typed-value"}


def test_at_a_terminal_several_fields_are_asked_for(safe, server):
    typed = [(b"user", b"me\n"), (b"Once more", b"me\n"), (b"password", b"pw\n"), (b"Once more", b"pw\n")]
    code, _ = at_a_terminal(safe, ["put", "a/b", "--field", "user", "--field", "password"], typed)
    assert code == 0
    assert server.node.value("a/b") == {"user": b"me", "password": b"pw"}


def test_at_a_terminal_an_empty_value_is_refused(safe, server):
    code, shown = at_a_terminal(safe, ["put", "a/b"], [(b"Value", b"\n")])
    assert code == 2 and b"the value is empty" in shown and b"--allow-empty" in shown
    assert len(server.node.store) == 0
    assert at_a_terminal(safe, ["put", "a/b", "--allow-empty"], [(b"Value", b"\n"), (b"Once more", b"\n")])[0] == 0
    assert server.node.value("a/b") == {"value": b""}


def test_a_quit_at_the_prompt_leaves_no_core_file(safe, tmp_path):
    """Ctrl-\\ ends a process with a core dump, the typed value in it, in whatever folder that is."""
    child, descriptor = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-m", "statefulset.cli", "put", "a/b"], safe.env)
    for expected, text in ((b"Value", b"typed-value\n"), (b"Once more", b"\x1c")):
        shown = b""
        while expected not in shown:
            shown += os.read(descriptor, 4096)
        os.write(descriptor, text)
    status = os.waitpid(child, 0)[1]
    os.close(descriptor)
    assert os.WTERMSIG(status) == signal.SIGQUIT and not os.WCOREDUMP(status)
    assert not list(tmp_path.glob("core*"))


def test_too_large_is_refused(safe, server):
    result = safe("put", "a/b", stdin=bytes((1 << 20) + 1))
    assert result.code == 1 and "(too_large)" in result.error and "hint: " in result.error
    assert len(server.node.store) == 0


def test_grant_and_revoke(safe, server):
    safe("put", "a/b", stdin=b"1")
    assert safe("grant", "a/b", "a/x", "a/*").code == 0
    assert server.node.store.get("a/b").grants == ("a/*", "a/x")
    assert safe("revoke", "a/b", "a/*").code == 0
    assert server.node.store.get("a/b").grants == ("a/x",)
    assert safe("grant", "a/b", "nonsense").code == 2
    assert safe("grant", "a/none", "a/x").code == 1


def test_a_new_secret_without_grants_says_what_comes_next(safe):
    assert "safe grant a/b" in safe("put", "a/b", stdin=b"1").error
    assert safe("put", "a/b", stdin=b"2").error == ""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["get", "a/none"], "not_found"),
        (["put", "a/b", "--if-version", "7"], "conflict"),
        (["put", "a/b", "--if-version", "0"], "conflict"),
        (["delete", "a/none"], "not_found"),
        (["undelete", "a/b"], "conflict"),
    ],
)
def test_refusals_are_exit_code_1(safe, args, code):
    safe("put", "a/b", stdin=b"1")
    result = safe(*args, stdin=b"2")
    assert (result.code, result.text) == (1, "")
    first, second = result.error.splitlines()
    assert first.startswith("safe: ") and first.endswith(f"({code})") and second.startswith("hint: ")
    result = safe(*args, "--json", stdin=b"2")
    assert (result.code, result.text) == (1, "")
    assert json.loads(result.error)["error"]["code"] == code


@pytest.mark.parametrize(
    ("token", "code"),
    [("workload-token", "forbidden"), ("expired-token", "token_expired"), ("junk", "token_malformed")],
)
def test_tokens_that_are_refused(make_safe, server, token, code):
    result = make_safe(server.url, token=token)("list")
    assert result.code == 1 and f"({code})" in result.error and "hint: " in result.error
    assert token not in result.error


@pytest.mark.parametrize(
    "args",
    [
        ["put", "a/b", "hunter2"],
        ["put", "a/b", "--hunter2"],
        ["put", "a/b", "-hunter2"],
        ["put", "a/b", "--fil", "hunter2"],
        ["put", "hunter2"],
        ["put", "a/b", "--if-version", "hunter2"],
        ["put", "a/b", "--file", "hunter2"],
        ["put", "a/b", "--from-file", "hunter2"],
        ["put", "a/b", "--from-file", "p=hunter2"],
        ["put", "a/b", "--field", "hunter2/"],
        ["put", "a/b", "--for", "hunter2"],
    ],
)
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_value_as_an_argument_is_refused_and_not_repeated(safe, server, args, json_flag):
    result = safe(*args, *json_flag, stdin=b"x")
    assert result.code == 2 and result.text == ""
    assert "hunter2" not in result.error and result.error
    if json_flag:
        assert json.loads(result.error)["error"]["exit_code"] == 2
    assert len(server.node.store) == 0


def test_settings_that_are_missing_are_exit_code_2(safe):
    for env in ({"SAFE_TOKEN_FILE": ""}, {"SAFE_TOKEN_FILE": "/nonexistent"}, {"SAFE_CA_FILE": "/nonexistent"}):
        result = safe("list", **env)
        assert result.code == 2 and "SAFE_" in result.error
    assert safe("list", SAFE_SERVER="http://localhost:1").code == 2


def test_json(safe):
    written = json.loads(safe("put", "a/b", "--json", stdin=b"1").text)
    assert written["name"] == "a/b" and written["version"] == 1
    assert json.loads(safe("get", "a/b", "--json").text)["fields"] == [{"name": "value", "size": 1}]
    assert [one["name"] for one in json.loads(safe("list", "--json").text)["secrets"]] == ["a/b"]
    assert json.loads(safe("grant", "a/b", "a/x", "--json").text)["name"] == "a/b"
    status = json.loads(safe("status", "--json").text)
    assert status["quorum"] is True and status["nodes"][0]["node"] == "safe-0" and status["unreachable"] == []
    assert json.loads(safe("sidecars", "--json").text) == {"sidecars": [], "unreachable": []}


def test_list_walks_through_all_pages_and_filters(safe, server):
    from node.store import commands

    for number in range(1201):
        command = commands.Put(
            rid=(number + 1).to_bytes(16, "big"),
            t=1,
            actor="x",
            name=f"{'ab'[number % 2]}/n{number:05}",
            fields=(("value", 1),),
            generation=1,
            write_id=b"w",
            sealed=b"s",
        )
        server.node.raft.index += 1
        server.node.store.apply(server.node.raft.index, commands.encode(command))
    assert len(safe("list").text.splitlines()) == 1202
    assert len(safe("list", "--namespace", "a").text.splitlines()) == 602
    assert len(safe("list", "--namespace", "a", "--prefix", "n0000").text.splitlines()) == 6
    some = safe("list", "--limit", "2", "--after", "a/n00002")
    assert [line.split()[0] for line in some.text.splitlines()] == ["NAME", "a/n00004", "a/n00006"]
    assert some.error == "there are more; next: --after a/n00006\n"
    assert json.loads(safe("list", "--limit", "700", "--json").text)["next"] == "b/n00197"
    whole = safe("list", "--namespace", "b", "--limit", "600")
    assert len(whole.text.splitlines()) == 601 and whole.error == ""
    assert json.loads(safe("list", "--limit", "1201", "--json").text)["next"] is None
    assert safe("list", "--limit", "0").code == 2


def test_a_limit_counts_what_the_workload_gets(safe):
    for number in range(4):
        safe("put", f"a/n{number}", "--for", "a/x" if number % 2 else "a/y", stdin=b"1")
    result = safe("list", "--for", "a/x", "--limit", "1", "--json")
    listed = json.loads(result.text)
    assert ([one["name"] for one in listed["secrets"]], listed["next"]) == (["a/n1"], "a/n1")
    listed = json.loads(safe("list", "--for", "a/x", "--limit", "1", "--after", "a/n1", "--json").text)
    assert ([one["name"] for one in listed["secrets"]], listed["next"]) == (["a/n3"], None)


def test_an_empty_list_says_what_to_do(safe):
    result = safe("list")
    assert (result.code, result.text) == (0, "") and "safe put" in result.error


def test_sidecars(safe, server):
    server.node.sidecars.add("api-1", {"a/b": 3})
    server.node.sidecars.add("api-2", {"a/c": 1}, error="no_space")
    server.node.sidecars.add("api-3", {"a/b": 2}, connected=False)
    lines = safe("sidecars").text.splitlines()
    assert len(lines) == 4 and "a/b@3" in lines[1] and "no_space" in lines[2] and "left 2023" in lines[3]
    assert len(safe("sidecars", "--secret", "a/b").text.splitlines()) == 3


def test_one_pod_with_many_secrets_does_not_make_the_table_of_all_unreadable(safe, server):
    many = {f"a/s{n:02}": n + 1 for n in range(12)}
    server.node.sidecars.add("api-1", {"a/s00": 1})
    server.node.sidecars.add("api-2", many, error="no_space")
    lines = safe("sidecars").text.splitlines()
    assert "a/s00@1" in lines[1] and "12 secrets  no_space" in lines[2] and max(map(len, lines)) < 80
    assert "a/s11@12 of 12 secrets" in safe("sidecars", "--secret", "a/s11").text
    assert "a/s00@1, a/s01@2," in safe("sidecars", "-o", "wide").text.splitlines()[2]
    assert json.loads(safe("sidecars", "--json").text)["sidecars"][1]["placed"] == many


# -- away --------------------------------------------------------------------------------------------------------------


def test_nothing_listens(make_safe, nowhere):
    safe = make_safe(nowhere)
    for args in (["put", "a/b", "--timeout", "0.5"], ["list"], ["get", "a/b"], ["status"], ["sidecars"]):
        result = safe(*args, stdin=b"1")
        assert result.code == 3 and "(unavailable)" in result.error and "hint: " in result.error
        assert nowhere in result.error


def test_no_quorum(safe, server):
    server.node.raft.quorum = False
    for args in (["put", "a/b"], ["delete", "a/b"], ["grant", "a/b", "a/x"], ["list"], ["get", "a/b"]):
        result = safe(*args, "--timeout", "60", stdin=b"1")
        assert result.code == 3 and "(no_quorum)" in result.error and "hint: " in result.error
    assert "--local" in result.error
    result = safe("list", "--local")
    assert result.code == 0 and "out of date" in result.error
    result = safe("status")
    assert result.code == 0 and "no quorum" in result.error


def test_no_data_key_yet_is_waited_for(make_server, make_safe):
    server = make_server(with_key=False)
    safe = make_safe(server.url)
    assert safe("put", "a/b", "--timeout", "0.5", stdin=b"1").code == 3
    timer = threading.Timer(0.7, server.node.add_key)
    timer.start()
    assert safe("put", "a/b", "--timeout", "60", stdin=b"1").code == 0
    timer.join()


def test_a_node_that_cannot_be_reached_is_skipped(make_safe, server, nowhere):
    safe = make_safe(nowhere, server.url)
    assert safe("put", "a/b", stdin=b"1").code == 0
    assert safe("list").code == 0
    result = safe("status")
    assert result.code == 0 and nowhere in result.error and "safe-0" in result.text


def test_a_node_that_accepts_and_hangs_is_passed_over(make_safe, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        safe = make_safe(f"https://localhost:{silent.getsockname()[1]}", server.url)
        assert safe("put", "a/b", "--timeout", "30", stdin=b"1").code == 0
    assert server.node.store.get("a/b").version == 1


def test_a_certificate_of_somebody_else_ends_it_at_once(make_safe, server, tmp_path):
    import trustme

    safe = make_safe(server.url)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    result = safe("put", "a/b", "--timeout", "60", stdin=b"1")
    assert result.code == 3 and "certificate" in result.error and "SAFE_CA_FILE" in result.error
    assert len(server.node.store) == 0


class Cutter(threading.Thread):
    """A TCP proxy that lets the request of the first `cut` connections through and cuts them before the answer."""

    def __init__(self, port: int, cut: int, wait_for) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        self.cut, self.target, self.wait_for, self.seen = cut, port, wait_for, 0

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.seen += 1
            threading.Thread(target=self.serve, args=(client, self.seen <= self.cut), daemon=True).start()

    def serve(self, client: socket.socket, cut: bool) -> None:
        upstream = socket.create_connection(("127.0.0.1", self.target))
        applied = self.wait_for()

        def back() -> None:
            while data := self.receive(upstream):
                if cut and self.wait_for() > applied:
                    break
                client.sendall(data)
            with contextlib.suppress(OSError):  # it may be gone already
                client.shutdown(socket.SHUT_RDWR)  # a close alone would wait for the thread that reads
            client.close()

        threading.Thread(target=back, daemon=True).start()
        while data := self.receive(client):
            upstream.sendall(data)
        upstream.close()

    def receive(self, one: socket.socket) -> bytes:
        try:
            return one.recv(65536)
        except OSError:
            return b""


def test_an_answer_that_is_lost_does_not_make_two_versions(make_safe, server):
    port = int(server.url.rsplit(":", 1)[1])
    cutter = Cutter(port, 2, lambda: server.node.store.index)
    cutter.start()
    result = make_safe(cutter.url)("put", "a/b", "--timeout", "60", stdin=b"once")
    cutter.listener.close()
    assert result.code == 0, result.error
    assert cutter.seen >= 2, "the answer was never lost, so nothing was tried"
    assert len(server.node.raft.proposed) >= 2
    assert server.node.store.get("a/b").version == 1 and server.node.value("a/b") == {"value": b"once"}


def test_a_failure_that_passes_is_waited_out(safe, server):
    from node.errors import Retry

    server.node.raft.broken = Retry("the leader is changing", code="unavailable", after=0.1)
    timer = threading.Timer(0.7, lambda: setattr(server.node.raft, "broken", None))
    timer.start()
    assert safe("put", "a/b", "--timeout", "60", stdin=b"1").code == 0
    timer.join()


def test_something_that_is_not_the_store(make_safe, tls):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(50):
            try:
                client = tls.server.wrap_socket(listener.accept()[0], server_side=True)
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
                client.close()
            except (OSError, ssl.SSLError):
                return

    threading.Thread(target=serve, daemon=True).start()
    result = make_safe(f"https://localhost:{listener.getsockname()[1]}")("put", "a/b", "--timeout", "0.5", stdin=b"1")
    listener.close()
    assert result.code == 3 and "hint: " in result.error


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_version_and_help(safe):
    assert safe("--version").text == f"safe {version('raftsafe')}\n"
    for args in (["--help"], ["put", "-h"], ["list", "--help"]):
        result = safe(*args, SAFE_SERVER="")
        assert result.code == 0 and result.text.startswith("Usage: safe")
    assert "The value comes with --reveal only" in safe("get", "--help").text


def test_no_arguments_show_the_help_and_are_usage(safe):
    result = safe()
    assert result.code == 2 and "Usage: safe" in result.error + result.text


def test_shell_completion(safe):
    result = safe(_SAFE_COMPLETE="bash_source")
    assert result.code == 0 and "complete" in result.text


def test_a_command_that_was_mistyped(safe):
    result = safe("lst")
    assert result.code == 2 and "did you mean `safe list`?" in result.error
    assert "No such command" in safe("hunter2hunter2").error and safe("--help").code == 0


def test_a_namespace_that_cannot_be_one_is_not_asked_for(safe, server):
    for args in (["list", "--namespace", "D_"], ["explain", "a/x", "--namespace", "D_"]):
        result = safe(*args)
        assert result.code == 2 and "not the name of a namespace" in result.error


def test_the_namespace_of_the_store_is_not_that_of_a_secret(safe):
    result = safe("-n", "demo", "list", SAFE_SERVER="", SAFE_TOKEN_FILE="", SAFE_CA_FILE="")
    assert result.code == 2 and "no kubeconfig" in result.error and "safe list --namespace" in result.error


def test_an_end_that_lies_in_the_past_is_told(safe, server):
    safe("put", "a/b", stdin=b"1")
    past = ("--expires", "2020-01-01T00:00:00Z")
    result = safe("put", "a/b", *past, stdin=b"2")
    assert result.code == 1 and "(--expires) is in the past" in result.error
    assert "_ms" not in result.error and "with `safe`" not in result.error
    assert server.node.store.get("a/b").version == 1
    result = safe("patch", "a/b", *past)
    assert result.code == 0 and "warning: a/b has expired with this" in result.error
    assert "warning" not in safe("patch", "a/b", "--expires", "1d").error


def completed(safe, line: str, **env: str) -> list[str]:
    """What bash is offered at the end of the line."""
    words = line.split(" ")
    env |= {"_SAFE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    offered = [one.partition(",")[2] for one in safe(**env).text.splitlines()]
    return [one for one in offered if one]


def test_names_of_secrets_are_completed(safe):
    for name in ("a/bee", "a/bull", "b/cow"):
        safe("put", name, stdin=b"1")
    assert completed(safe, "safe get a/b") == ["a/bee", "a/bull"]
    assert completed(safe, "safe revoke ") == ["a/bee", "a/bull", "b/cow"]
    assert completed(safe, "safe --context prod get a/b") == [], "those would be names of another store"
    assert completed(safe, "safe get a/b", SAFE_CONTEXT="prod") == []
    assert completed(safe, "safe rev") == ["revoke"]


def test_contexts_of_a_running_dev_are_completed(safe, tmp_path):
    assert completed(safe, "safe --context safe-", SAFE_DEV_MEMORY=str(tmp_path)) == []
    folder = tmp_path / f"raftsafe-dev-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "client.json").write_text('{"contexts": {"safe-dev-viewer": "x", "safe-dev-editor": "y"}}')
    offered = completed(safe, "safe --context safe-", SAFE_DEV_MEMORY=str(tmp_path))
    assert offered == ["safe-dev-editor", "safe-dev-viewer"]
    folder.chmod(0o755)
    assert completed(safe, "safe --context safe-", SAFE_DEV_MEMORY=str(tmp_path)) == []


def test_a_reader_that_goes_away(safe, server):
    safe("put", "a/b", stdin=b"1")
    command = f"{sys.executable} -m statefulset.cli list | true"
    done = subprocess.run(["bash", "-c", command], env=safe.env, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_interrupted_at_the_prompt_nothing_is_sent(safe, server):
    code, shown = at_a_terminal(safe, ["put", "a/b"], [(b"Value", b"\x03")])
    assert code == 130 and b"Traceback" not in shown
    assert len(server.node.store) == 0


def test_list_without_a_store_is_quick_compared_to_importing_everything(safe):
    """`safe list` must not import the server side: a ratio to Python's own start, not a time."""

    def best(*args: str) -> float:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *args], env=safe.env, capture_output=True, check=False)
            times.append(time.perf_counter() - begin)
        return min(times)

    everything = best("-c", "import statefulset.cli.client, aiohttp.web, cryptography.x509, rich.console")
    assert best("-m", "statefulset.cli", "list", "--help") < everything


def shell(safe, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line as somebody types it; `safe` stands for this program."""
    program = f"{sys.executable} -m statefulset.cli"
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("safe", program)], env=safe.env, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("out", [">&-", ">/dev/full"])
def test_a_change_that_is_done_exits_0_whatever_becomes_of_its_output(safe, server, out):
    done = shell(safe, f"printf w | safe put a/b {out}")
    assert done.returncode == 0 and b"done" in done.stderr and b"internal" not in done.stderr
    assert server.node.store.get("a/b").version == 1


@pytest.mark.parametrize("out", [">&-", ">/dev/full"])
def test_a_reading_whose_output_is_lost_says_so(safe, server, out):
    done = shell(safe, f"safe list --json {out}")
    assert done.returncode == 1 and b"standard output cannot be written" in done.stderr


def test_a_closed_standard_input_is_a_usage_error(safe, server):
    done = shell(safe, "safe put a/b <&-")
    assert done.returncode == 2 and b"standard input is closed" in done.stderr
    assert len(server.node.store) == 0


def test_an_empty_value_replaces_nothing_unless_told_to(safe, server, tmp_path):
    """A command before the pipe that failed gives an empty standard input, and an empty file as often."""
    safe("put", "a/b", stdin=b"good")
    (tmp_path / "empty").write_bytes(b"")
    one, folder = str(tmp_path / "empty"), tmp_path / "folder"
    folder.mkdir()
    (folder / "value").write_bytes(b"")
    for args in ([], ["--file", one], ["--from-file", f"value={one}"], ["--from-dir", str(folder)]):
        for verb in ("put", "patch"):
            result = safe(verb, "a/b", *args, stdin=b"")
            assert (result.code, result.text) == (2, ""), (verb, args)
            assert "safe: the value is empty (usage)" in result.error and "--allow-empty" in result.error
    assert "the field user is empty" in safe("put", "a/b", "--field", "user").error
    assert server.node.value("a/b") == {"value": b"good"} and server.node.store.get("a/b").version == 1
    result = safe("put", "a/b", "--for", "a/x", "--allow-empty", stdin=b"")
    assert result.code == 0 and "(0 bytes)" in result.text and "the value is empty (0 bytes)" in result.error
    assert "(3 bytes)" in safe("put", "a/b", stdin=b"abc").text


def test_an_empty_text_that_stands_written_out_is_meant(safe, server):
    assert safe("put", "a/b", "--from-env-file", "-", stdin=b"USER=me\nNOTE=\n").code == 0
    assert safe("put", "a/c", "--from-json", "-", stdin=b'{"note": ""}').code == 0
    assert server.node.value("a/b")["NOTE"] == server.node.value("a/c")["note"] == b""


def test_a_window_that_a_put_ends_is_said(safe, server):
    assert safe("put", "a/b", "--expires", "30d", stdin=b"1").error.count("note: ") == 0
    kept = safe("put", "a/b", "--keep-window", stdin=b"2")
    assert kept.code == 0 and "valid" not in kept.error and server.node.store.get("a/b").expires_ms is not None
    cleared = safe("put", "a/b", stdin=b"3")
    assert cleared.code == 0 and "is valid always now" in cleared.error and "--keep-window" in cleared.error
    assert server.node.store.get("a/b").expires_ms is None
    assert "valid always" not in safe("put", "a/b", stdin=b"4").error


def test_a_refusal_speaks_of_options_and_not_of_keys(safe, server, tmp_path):
    window = ("--not-before", "2030-01-01T00:00:00Z", "--expires", "2029-01-01T00:00:00Z")
    safe("put", "a/b", stdin=b"1")
    for verb in ("put", "patch"):
        result = safe(verb, "a/b", *window, stdin=b"1")
        assert result.code == 1 and "--expires is not after --not-before" in result.error, result.error
        assert "_ms" not in result.error
    (tmp_path / "many.yaml").write_text(
        "secrets: {a/c: {value: x, not-before: '2030-01-01T00:00:00Z', expires: '2029-01-01T00:00:00Z'}}"
    )
    result = safe("apply", "-f", str(tmp_path / "many.yaml"))
    assert result.code == 1 and ": expires is not after not-before" in result.error, result.error
    server.node.raft.quorum = False
    assert "hint: add --local to read" in safe("list").error


def test_revoke_says_what_is_still_reached(safe, server):
    safe("put", "a/b", "--for", "a/*", "--for", "a/x", stdin=b"1")
    both = safe("revoke", "a/b", "a/x")
    assert (both.code, both.text) == (0, "a/b: the grant to a/x is taken back\n"), "it did what was asked"
    assert both.error == ("warning: a/x still gets a/b, through a/*; to take that too: safe revoke a/b 'a/*'\n"), (
        both.error
    )
    assert server.node.store.get("a/b").grants == ("a/*",)
    wildcard = safe("revoke", "a/b", "a/x")
    assert wildcard.code == 1 and "a/x still gets" in wildcard.error and "(not_granted)" in wildcard.error
    unknown = safe("revoke", "a/b", "no/one")
    assert (
        unknown.code == 1
        and "a/b was not granted to no/one by that name" in unknown.error
        and "no longer" not in unknown.text
    )
    assert safe("revoke", "a/b", "a/*").code == 0
    assert server.node.store.get("a/b").grants == ()


def test_revoke_never_says_that_a_workload_lost_what_it_still_gets(safe, server):
    safe("put", "a/b", "--for", "a/*", "--for", "a/x", "--for", "b/y", stdin=b"1")
    result = safe("revoke", "a/b", "a/x", "b/y", "c/z")
    assert (result.code, result.text) == (1, "a/b is no longer given to b/y\na/b: the grant to a/x is taken back\n")
    assert "was not granted to c/z" in result.error and "a/x still gets a/b, through a/*" in result.error
    result = safe("revoke", "a/b", "a/none", "--json")
    assert (result.code, result.text) == (1, "")
    error = json.loads(result.error)["error"]
    assert error["code"] == "not_granted" and "a/none still gets a/b, through a/*" in error["message"]


def test_a_script_is_told_by_json_what_a_revoke_left(safe):
    safe("put", "a/b", "--for", "a/*", "--for", "a/x", "--for", "b/y", stdin=b"1")
    result = safe("revoke", "a/b", "a/x", "b/y", "--json")
    assert result.code == 0 and json.loads(result.text)["still"] == [{"workload": "a/x", "grant": "a/*"}]
    assert json.loads(safe("revoke", "a/b", "a/*", "--json").text)["still"] == []


def test_a_revoke_that_is_no_success_is_none_when_its_output_is_lost(safe, server):
    safe("put", "a/b", "--for", "a/x", stdin=b"1")
    done = shell(safe, "safe revoke a/b a/x a/none >/dev/full")
    assert done.returncode == 1 and b"was not granted to a/none" in done.stderr
    assert server.node.store.get("a/b").grants == ()


def test_revoke_without_a_quorum_gives_no_hint_about_an_option_it_has_not(safe, server):
    safe("put", "a/b", "--for", "a/x", stdin=b"1")
    server.node.raft.quorum = False
    result = safe("revoke", "a/b", "a/x")
    assert result.code == 3 and "(no_quorum)" in result.error and "--local" not in result.error


def test_a_no_to_purge_is_not_an_interruption(safe, server):
    safe("put", "a/b", stdin=b"1")
    code, shown = at_a_terminal(safe, ["purge", "a/b"], [(b"for good?", b"n\n")])
    assert code == 1 and b"nothing was sent" in shown and server.node.store.get("a/b") is not None
    assert at_a_terminal(safe, ["purge", "a/b"], [(b"for good?", b"y\n")])[0] == 0
    assert server.node.store.get("a/b") is None


@pytest.mark.parametrize(
    "line", ["safe --help >/dev/full", "safe --help >&-", "safe list >&-", "safe get a/b >/dev/full"]
)
def test_an_output_that_is_lost_is_no_mistake_in_the_program(safe, line):
    done = shell(safe, f"safe put a/b --allow-empty </dev/null 2>&1 >/dev/null; safe delete a/b >/dev/null; {line}")
    assert done.returncode in (0, 1) and b"internal" not in done.stderr and b"Traceback" not in done.stderr


def test_a_change_is_done_without_any_output_at_all(safe, server):
    for out in (">&- 2>&-", ">/dev/full 2>/dev/full"):
        assert shell(safe, f"printf w | safe put a/{len(out)} {out}").returncode == 0
    done = shell(safe, "(sleep 1; printf w) | safe put a/pipe | true; echo")
    assert b"internal" not in done.stderr and server.node.store.get("a/pipe").version == 1


def test_empty_fields_and_sizes_are_said_one_by_one(safe, tmp_path):
    (tmp_path / "crt").write_bytes(b"abc")
    args = ("--field", "note", "--from-file", f"crt={tmp_path / 'crt'}")
    result = safe("put", "a/b", *args, "--allow-empty", stdin=b"")
    assert result.text == "a/b is at version 1 (note: 0 bytes, crt: 3 bytes)\n"
    assert "note: the field note is empty (0 bytes)" in result.error
    assert "is empty (0 bytes)" in safe("put", "a/b", "--json", "--allow-empty", stdin=b"").error


def test_a_missing_package_is_one_line(safe):
    for package in ("click", "httpx"):
        script = f"import sys; sys.modules['{package}'] = None; sys.argv[1:] = ['list']; from statefulset.cli.__main__ import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script], env=safe.env, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert done.stderr.decode() == f"safe: the {package} package is missing; install raftsafe[cli]\n"


def test_purge_is_for_good_and_asks_first(safe, server):
    safe("put", "a/b", stdin=b"1")
    assert safe("purge", "a/b").code == 2 and server.node.store.get("a/b") is not None
    assert safe("purge", "a/b", "--if-version", "7", "--yes").code == 1
    assert safe("purge", "a/b", "--yes").code == 0 and server.node.store.get("a/b") is None
    assert safe("undelete", "a/b").code == 1


def test_settings_of_a_real_store_never_fall_back_to_a_dev_one(safe, server):
    env = {key: value for key, value in safe.env.items() if key != "SAFE_SERVER"}
    done = subprocess.run(
        [sys.executable, "-m", "statefulset.cli", "list"], env=env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2 and b"SAFE_SERVER is not" in done.stderr


def test_list_tells_nothing_from_nothing_that_matches(safe, server):
    assert "no secrets here yet" in safe("list").error
    safe("put", "a/b", stdin=b"1")
    assert "no secret matches" in safe("list", "--namespace", "z").error
    safe("delete", "a/b")
    assert "deleted" in safe("list").text
