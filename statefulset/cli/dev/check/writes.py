"""Steps a and b: what is put is in the file, byte for byte, and quickly.

Why it exists: the first promise, and the one a user sees. What it refuses to do: time anything through the start of a
process; the timed writes go over a connection that is open.
"""

from __future__ import annotations

import json
import statistics
from typing import Final

from statefulset.cli.dev.check.context import Context, Failed, Passed, ms

LARGE: Final = 1 << 20
ROUNDS: Final = 20


def exact(context: Context) -> Passed:
    """a: values of every kind, put on standard input, are in the files byte for byte."""
    values = {
        "text": context.canary(),
        "binary": context.plant(bytes(range(256)) + context.random_bytes(32)),
        "large": context.plant(context.random_bytes(LARGE)),
        "empty": b"",
    }
    with context.watch(*values) as watcher:
        for name, value in values.items():
            context.put(name, value)
            context.arrived(watcher, name, "put on standard input")
    listed = _listed(context)
    if listed != {f"demo/{name}": 1 for name in values}:
        raise Failed("`safe list` to show the four secrets at version 1", str(listed))
    if not context.until(lambda: set(_reported(context)) == set(listed)):
        raise Failed("`safe sidecars` to show that the pod holds all four", str(_reported(context)))
    sizes = {name: len(value) for name, value in values.items()}
    shown = ", ".join(f"{name} {size} B" for name, size in sizes.items())
    return Passed(f"values from standard input are in tmpfs byte for byte: {shown}", {"bytes": sizes})


def _listed(context: Context) -> dict[str, int]:
    done = context.safe("list", "--namespace", "demo", "--json")
    if done.code != 0:
        raise Failed("`safe list` to succeed", f"exit code {done.code}: {done.err.strip()}")
    return {record["name"]: record["version"] for record in json.loads(done.out)["secrets"]}


def _reported(context: Context) -> dict[str, int]:
    done = context.safe("sidecars", "--json")
    found = json.loads(done.out)["sidecars"] if done.code == 0 else []
    return {name: version for item in found if item["pod"] == "web" for name, version in item["placed"].items()}


def fast(context: Context) -> Passed:
    """b: a new value is in the file without anybody polling."""
    gaps, writes = [], []
    with context.watch("rotating") as watcher:
        for _ in range(ROUNDS + 1):
            done = context.send("rotating", context.canary())
            at = context.arrived(watcher, "rotating", "put last")
            gaps.append(max(0.0, at - done.at))
            writes.append(done.at - done.sent_at)
        method = watcher.method
    node = context.sidecar_status(context.web).get("node", "")
    role = "the leader" if node == context.cluster.leader() else "a follower"
    gaps, writes = gaps[1:], writes[1:]  # the first opens the connection
    gap = {"median": ms(statistics.median(gaps)), "worst": ms(max(gaps))}
    write = {"median": ms(statistics.median(writes)), "worst": ms(max(writes))}
    line = (
        f"{ROUNDS} new values; from acknowledgement to file: median {gap['median']:g} ms, worst {gap['worst']:g} ms "
        f"({method}; sidecar attached to {role}); the put itself: median {write['median']:g} ms"
    )
    figures = {
        "rounds": ROUNDS,
        "file_after_ack_ms": gap,
        "put_ms": write,
        "noticed_by": method,
        "sidecar_attached_to": role,
    }
    return Passed(line, figures)
