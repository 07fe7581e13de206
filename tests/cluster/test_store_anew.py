"""A store that is not the one the pods knew: built anew, or restored from an older backup. Real nodes, a real sidecar.

The pod must never keep an old value without a word, lose a file that nobody took away, or be counted as done.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from statefulset.cli.dev.harness import DevCluster

Until = Callable[..., bool]


def put(cluster: DevCluster, name: str, value: bytes) -> int:
    body = {"fields": {"value": base64.b64encode(value).decode()}, "grants": ["demo/web"]}
    answer = cluster.client(20.0).change("PUT", f"/v1/secrets/demo/{name}", body=body)
    return int(answer.data["version"])


def read(mount: Path, name: str) -> bytes:
    try:
        return (mount / name).read_bytes()
    except FileNotFoundError:
        return b""


def status(mount: Path) -> dict[str, Any]:
    found = json.loads((mount / "..status.json").read_text())
    assert isinstance(found, dict)
    return found


def stopped(cluster: DevCluster, change: Callable[[str, Path], None]) -> None:
    """All nodes down at once, something done to each data folder, and all up again."""
    cluster.kill_all()
    for name in cluster.names:
        change(name, cluster.home.node_data(name))
    cluster.again(*cluster.names)
    cluster.wait_ready(cluster.names)


def emptied(_: str, data: Path) -> None:
    for entry in data.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def test_a_store_built_anew_is_taken_over_from(cluster: DevCluster, until: Until) -> None:
    mount = cluster.workloads["web"].mount
    for number in range(4):
        put(cluster, "rb", b"old %d" % number)
    put(cluster, "only", b"of the former store")
    assert until(lambda: (read(mount, "rb"), read(mount, "only")) == (b"old 3", b"of the former store"))
    before = status(mount)
    assert before["store"] and before["former"] == []
    stopped(cluster, emptied)
    assert put(cluster, "rb", b"NEW VALUE") == 1, "the store is a new one"
    assert until(lambda: read(mount, "rb") == b"NEW VALUE")
    assert until(lambda: status(mount)["store"] not in ("", before["store"])), "the file follows the receipt"
    after = status(mount)
    assert after["index"] < before["index"]
    assert read(mount, "only") == b"of the former store" and "demo/only" in after["former"]
    assert until(lambda: cluster.safe("rollout", "status", "demo/rb").code == 0)
    assert put(cluster, "only", b"its own") == 1
    assert until(lambda: read(mount, "only") == b"its own")
    assert until(lambda: "demo/only" not in status(mount)["former"])


def test_a_store_restored_from_an_older_backup_says_whom_it_refuses(
    cluster: DevCluster, until: Until, tmp_path: Path
) -> None:
    mount = cluster.workloads["web"].mount
    put(cluster, "rs", b"in the backup")

    def saved(name: str, data: Path) -> None:
        shutil.copytree(data, tmp_path / name)

    stopped(cluster, saved)
    for number in range(9):
        last = put(cluster, "rs", b"after it %d" % number)
    assert until(lambda: read(mount, "rs") == b"after it 8")
    store = status(mount)["store"]

    def restored(name: str, data: Path) -> None:
        emptied(name, data)
        shutil.copytree(tmp_path / name, data, dirs_exist_ok=True)

    stopped(cluster, restored)
    assert until(lambda: status(mount)["error"] == "behind")
    assert "recreate the pod" in status(mount)["trouble"] and read(mount, "rs") == b"after it 8"
    asked = cluster.safe("rollout", "status", "demo/rs")
    assert asked.code == 3 and "0 of 1" in asked.out and "recreate the pod" in asked.out
    assert "recreate the pod" in cluster.safe("sidecars").out
    assert "refused, they have seen more than this store has: demo/" in cluster.safe("doctor").out
    for number in range(30):
        put(cluster, "filler", b"%d" % number)
    assert until(lambda: status(mount)["connected"]), "its index has passed the old one"
    asked = cluster.safe("rollout", "status", "demo/rs")
    assert status(mount)["store"] == store and status(mount)["secrets"]["demo/rs"] == last
    assert asked.code == 3 and "0 of 1" in asked.out and "recreate the pod" in asked.out
