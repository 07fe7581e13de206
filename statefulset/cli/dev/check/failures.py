"""Steps c, d and e: nodes are killed with SIGKILL; what was acknowledged stays, and what can go on goes on.

Why it exists: this is what the store is for. What it refuses to do: assert a time. It prints what it measures.
"""

from __future__ import annotations

import json
import os
import time

from statefulset.cli.dev.check.context import Context, Failed, Passed, ms
from statefulset.cli.dev.programs import AUDIENCE
from statefulset.cli.errors import AWAY


def leader_lost(context: Context) -> Passed:
    """c: the leader is killed; a write succeeds on the others, and its value reaches the pod."""
    cluster = context.cluster
    leader = cluster.leader()
    attached = context.sidecar_status(context.web).get("node", "") == leader
    with context.watch("failover", "failover-cli") as watcher:
        killed_at = cluster.kill(leader)
        context.killed.append(leader)
        done = context.send("failover", context.canary())
        file_at = context.arrived(watcher, "failover", "put after the leader was killed")
        context.put("failover-cli", context.canary())
        context.arrived(watcher, "failover-cli", "put by `safe` after the leader was killed")
    figures = {
        "kill_to_ack_ms": ms(done.at - killed_at),
        "kill_to_file_ms": ms(file_at - killed_at),
        "sidecar_was_attached": attached,
    }
    where = "was attached to it too" if attached else "was attached to another node"
    line = (
        f"leader {leader} killed; next acknowledged put after {figures['kill_to_ack_ms']:g} ms, its file after "
        f"{figures['kill_to_file_ms']:g} ms (the sidecar {where})"
    )
    return Passed(line, figures)


def quorum_lost(context: Context) -> Passed:
    """d: without a majority writes are refused, files stay, and a new pod still gets what was committed."""
    cluster = context.cluster
    quorum = len(cluster.names) // 2 + 1
    cluster.settle()  # what a survivor was never told to be committed it cannot deliver
    while len(cluster.running()) >= quorum:
        leader = cluster.leader()
        cluster.kill(leader)
        context.killed.append(leader)
    before = _fingerprints(context)
    began = time.monotonic()
    done = context.safe("put", "demo/text", "--for", "demo/web", stdin=context.canary())
    refused_after = time.monotonic() - began
    if done.code != AWAY or "no_quorum" not in done.err:
        raise Failed(f"`safe put` to exit with code {AWAY} and no_quorum", f"code {done.code}: {done.err.strip()}")
    late = cluster.add_workload("late", serviceaccount="web")
    context.all_files(late.mount, "committed before the quorum was lost")
    if not context.until(lambda: _stale(context.sidecar_status(late))):
        raise Failed("the new sidecar to report stale", str(context.sidecar_status(late)), [late.process])
    if (after := _fingerprints(context)) != before:
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise Failed("the files of the first pod to be untouched", f"changed: {', '.join(changed)}")
    cluster.end_workload("late")
    survivors = ", ".join(cluster.running())
    line = (
        f"{len(context.killed)} of {len(cluster.names)} nodes killed; put refused (no_quorum, exit code {AWAY}), files "
        f"untouched, a new sidecar got {len(context.truth)} secrets from {survivors}, marked stale"
    )
    return Passed(line, {"refused_after_ms": ms(refused_after), "secrets": len(context.truth), "survivors": survivors})


def _stale(status: dict[str, object]) -> bool:
    return bool(status.get("stale") and status.get("connected") and status.get("complete"))


def _fingerprints(context: Context) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of each file: even the same bytes written again would show."""
    out = {}
    for name in context.truth:
        found = os.stat(context.web.mount / name)
        out[name] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return out


def everything_lost(context: Context) -> Passed:
    """e: the killed ones come back; then all are killed at once and started without any other input."""
    cluster = context.cluster
    cluster.again(*context.killed)
    cluster.wait_ready(cluster.names)
    context.killed.clear()
    context.send("rotating", context.canary())  # something that no snapshot and no earlier start has seen
    cluster.kill_all()
    began = time.monotonic()
    cluster.again(*cluster.names)
    cluster.wait_ready(cluster.names)
    ready = time.monotonic() - began
    versions = _versions(context)
    wanted = {f"demo/{name}": known.version for name, known in context.truth.items()}
    if versions != wanted:
        raise Failed(f"every acknowledged version: {wanted}", str(versions))
    _every_value(context)
    with context.watch("text") as watcher:
        version = context.put("text", context.canary())
        context.arrived(watcher, "text", "put after the restart of all")
    line = (
        f"all {len(cluster.names)} nodes killed at once and started: ready after {ready:.2f} s, all {len(wanted)} "
        f"acknowledged values there, demo/text goes on at version {version} and is in the file"
    )
    return Passed(line, {"ready_ms": ms(ready), "secrets": len(wanted)})


def _versions(context: Context) -> dict[str, int]:
    done = context.safe("list", "--json")
    if done.code != 0:
        raise Failed("`safe list` to succeed", f"exit code {done.code}: {done.err.strip()}")
    return {record["name"]: record["version"] for record in json.loads(done.out)["secrets"]}


def _every_value(context: Context) -> None:
    """Fetch everything once more, into a new mount, from the nodes that have just started."""
    cluster = context.cluster
    mount = cluster.home.mount("again")
    token = cluster.issuer.token("demo", "web", audience=AUDIENCE, pod="again")
    done = cluster.init_sidecar("again", token, mount)
    if done.code != 0:
        raise Failed("`safe-sidecar init` to succeed", f"exit code {done.code}: {done.err.strip()}")
    for name, known in context.truth.items():
        path = mount / name
        if not path.is_file() or path.read_bytes() != known.value:
            raise context.not_there(path, known.value, "acknowledged before all nodes were killed")
