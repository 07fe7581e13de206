"""`safe dev` as a person runs it: it comes up, says what is in the way, mends itself, and leaves nothing behind."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from statefulset.cli.dev import folders, programs
from statefulset.cli.dev.harness import DevCluster, Options

Start = Callable[..., Any]
Until = Callable[..., bool]
Born = Callable[[int], str]


def run(memory: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    env = programs.clean(os.environ) | {folders.CHOSEN: str(memory)}
    command = [*prefix, *programs.command("safe"), "dev", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def holds(file: Path, value: bytes) -> bool:
    return file.exists() and file.read_bytes() == value


def test_ctrl_c_leaves_nothing_behind_also_when_a_child_died_before(dev: Start, until: Until, born: Born) -> None:
    running = dev("--port", "0").ready()
    put = running.safe("put", "demo/db", "--for", "demo/web", stdin=b"\x00value\n")
    assert put.returncode == 0, put.stderr
    file = running.home / "mounts" / "web" / "db"
    assert until(lambda: holds(file, b"\x00value\n"))
    data, children = running.data_folder(), running.children()
    assert len(children) == 4
    starts = {pid: born(pid) for pid in children}
    os.kill(next(pid for pid, line in children.items() if "safe-node" in line), signal.SIGKILL)
    assert running.signal(signal.SIGINT) == 0, running.text
    assert running.lines[-1] == "safe dev: stopped, nothing is left"
    assert not [pid for pid, start in starts.items() if born(pid) == start]
    assert not data.exists()
    assert list(running.memory.iterdir()) == []


def test_five_nodes_deliver_to_three_workloads(dev: Start, until: Until) -> None:
    running = dev("--nodes", "5", "--workloads", "3", "--port", "0").ready()
    put = running.safe("put", "demo/db", "--for", "demo/*", stdin=b"for all of them")
    assert put.returncode == 0, put.stderr
    for workload in ("web", "web-2", "web-3"):
        file = running.home / "mounts" / workload / "db"
        assert until(functools.partial(holds, file, b"for all of them")), running.text
    assert sum("safe-node" in line for line in running.children().values()) == 5
    assert running.signal(signal.SIGHUP) == 0, running.text
    assert list(running.memory.iterdir()) == []


def test_a_second_one_is_refused_and_what_dies_is_started_again(dev: Start, until: Until, memory: Path) -> None:
    running = dev("--port", "0").ready()
    refusal = one_line(run(memory, "--port", "0"))
    assert "another `safe dev` of this user is running" in refusal
    assert str(running.process.pid) in refusal
    before = running.children()
    victim = next(pid for pid, line in before.items() if "safe-node" in line)
    os.kill(victim, signal.SIGKILL)
    running.wait_for("was ended by SIGKILL; it starts again in 1 s")
    running.wait_for("is started again")
    assert until(lambda: len(running.children()) == len(before) and victim not in running.children())
    put = running.safe("put", "demo/db", "--for", "demo/web", stdin=b"after")
    assert put.returncode == 0, put.stderr
    assert running.signal(signal.SIGTERM) == 0
    assert list(memory.iterdir()) == []


def test_kill_9_leaves_no_process_and_the_next_one_removes_the_files(dev: Start, until: Until, born: Born) -> None:
    running = dev("--port", "0").ready()
    starts = {pid: born(pid) for pid in running.children()}
    assert len(starts) == 4
    data = running.data_folder()
    running.signal(signal.SIGKILL)
    assert until(lambda: not [pid for pid, start in starts.items() if born(pid) == start])
    assert data.exists()
    following = dev("--port", "0").ready()
    assert not data.exists()
    assert following.signal(signal.SIGINT) == 0
    assert list(running.memory.iterdir()) == []


def test_what_dir_keeps_is_there_the_next_time(dev: Start, until: Until, memory: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = dev("--port", "0", "--dir", str(kept)).ready()
    assert first.safe("put", "demo/db", "--for", "demo/web", stdin=b"kept value").returncode == 0
    assert first.signal(signal.SIGINT) == 0
    assert list(memory.iterdir()) == []
    assert "holds a cluster of 3 nodes" in one_line(run(memory, "--port", "0", "--nodes", "5", "--dir", str(kept)))
    second = dev("--port", "0", "--dir", str(kept)).ready()
    file = second.home / "mounts" / "web" / "db"
    assert until(lambda: holds(file, b"kept value")), second.text
    assert second.signal(signal.SIGINT) == 0


def test_each_ready_identity_may_what_its_role_says(dev: Start, tmp_path: Path) -> None:
    running = dev("--port", "0", "--set", f"SAFE_AUDIT_FILE={tmp_path}/{{name}}.audit").ready()

    def safe(who: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        done: subprocess.CompletedProcess[bytes] = running.safe("--context", f"safe-dev-{who}", *arguments, stdin=stdin)
        return done

    def refused(who: str, right: str, *arguments: str) -> None:
        done = safe(who, *arguments, stdin=b"other")
        said = f"safe: system:serviceaccount:raftsafe:{who} may not {right} (forbidden)\nhint: bind the ClusterRole "
        assert done.returncode == 1 and said in done.stderr.decode(), (who, arguments, done.stderr)

    refused("viewer", "create safesecrets.raftsafe.io in namespace demo", "put", "demo/db")
    put = safe("editor", "put", "demo/db", "--for", "demo/web", stdin=b"value")
    assert put.returncode == 0, put.stderr
    for who in ("viewer", "editor", "revealer", "operator"):
        assert b"demo/db" in safe(who, "list").stdout
    for who in ("viewer", "editor", "operator"):
        refused(who, "get safesecrets/value.raftsafe.io in namespace demo", "get", "demo/db", "--reveal")
    assert safe("revealer", "get", "demo/db", "--reveal").stdout == b"value"
    refused("revealer", "delete safesecrets.raftsafe.io in namespace demo", "delete", "demo/db")
    refused("editor", "get safeclusters.raftsafe.io", "status")
    assert safe("operator", "status").returncode == 0
    assert running.safe("get", "demo/db", "--reveal").stdout == b"value", "the admin, who may all"
    nobody = safe("root", "list")
    assert nobody.returncode == 2 and b"safe-dev-operator, safe-dev-revealer" in nobody.stderr
    written = "".join((tmp_path / f"safe-{number}.audit").read_text() for number in range(3))
    assert '"forbidden"' in written and "raftsafe:viewer may not create" in written


def test_a_port_in_use_is_one_line(memory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        base = port - 11 if port > 11 + 1024 and port - 11 + 900 < 65536 else port - 900
        refusal = one_line(run(memory, "--port", str(base)))
    assert f"{port} on 127.0.0.1" in refusal or f"{port}, " in refusal
    assert "in use" in refusal
    assert list(memory.iterdir()) == []


def test_no_tmpfs_is_one_line(tmp_path: Path) -> None:
    if folders.file_system(tmp_path) in folders.MEMORY:
        tmp_path = Path("/proc")
    assert "there is no tmpfs to write secrets to" in one_line(run(tmp_path, "--port", "0"))


def test_a_wiped_volume_heals_itself(until: Until) -> None:
    with DevCluster(Options(port=0, private=True)) as cluster:
        assert cluster.safe("put", "demo/db", "--for", "demo/web", stdin=b"before").code == 0
        cluster.settle()
        leader = cluster.leader()
        victim = next(name for name in cluster.names if name != leader)
        member, pid = cluster.status()[victim]["member"], cluster.node(victim).pid
        shutil.rmtree(cluster.home.node_data(victim))
        os.kill(pid, signal.SIGKILL)

        def healed() -> bool:
            found = cluster.status()
            mine, its = found.get(victim, {}), found.get(leader, {})
            joined = mine.get("member") != member and mine.get("state") == "follower" and mine.get("ready")
            return bool(joined and victim in its["voters"] and not its["learners"])

        assert until(healed), cluster.trouble([victim], "").details
        assert cluster.node(victim).pid != pid
        cluster.kill(next(name for name in cluster.names if name not in (leader, victim)))
        assert cluster.safe("put", "demo/db", stdin=b"after").code == 0, "its vote does not count"
        assert until(lambda: holds(cluster.workloads["web"].mount / "db", b"after"))
        cluster.settle()
        assert cluster.status()[victim]["secrets"] == 1


def test_too_few_descriptors_are_one_line(memory: Path) -> None:
    limited = ("sh", "-c", 'ulimit -n 64 && exec "$@"', "sh")
    assert "ulimit -n 256" in one_line(run(memory, "--port", "0", prefix=limited))
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json",), "--json goes with --check"),
        (("--check", "--nodes", "1"), "--nodes 3 or more"),
        (("--check", "--workloads", "0"), "needs a workload"),
        (("--check", "--dir", "x"), "leave out --dir"),
        (("--set", "SAFE_NAME=x"), "SAFE_ADMIN_RATE, SAFE_AUDIT_FILE"),
        (("--set", "SAFE_ADMIN_RATE"), "is not NAME=VALUE"),
        (("--set", "SAFE_AUDIT_FILE=/one/for/all"), "{name}.audit"),
    ],
)
def test_options_that_do_not_fit_are_refused(memory: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(memory, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
