"""Peer of row `put`: three nodes of Debian's etcd, TLS on both sides, data on the same disk as ours, fsync as released.

The puts go through its JSON gateway, as ours go through our JSON API.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from children import HOST, BenchError, free_ports
from load.api import Etcd, client_context

from statefulset.cli.dev.processes import bound

NAMES = ("etcd-0", "etcd-1", "etcd-2")
READY = 30.0


def _certificates(folder: Path) -> tuple[Path, Path]:
    """(CA, key and certificate of every node). One pair does for both doors."""
    authority = trustme.CA()
    ca_file, leaf_file = folder / "ca.crt", folder / "node.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert(HOST, "localhost").private_key_and_cert_chain_pem.write_to_path(str(leaf_file))
    return ca_file, leaf_file


def _command(program: str, name: str, folder: Path, client: dict[str, int], peer: dict[str, int]) -> list[str]:
    ca_file, leaf_file = folder / "ca.crt", folder / "node.pem"
    peers = ",".join(f"{each}=https://{HOST}:{port}" for each, port in peer.items())
    return [
        program, "--name", name, "--data-dir", str(folder / name), "--logger", "zap", "--log-level", "error",
        "--listen-client-urls", f"https://{HOST}:{client[name]}",
        "--advertise-client-urls", f"https://{HOST}:{client[name]}",
        "--listen-peer-urls", f"https://{HOST}:{peer[name]}",
        "--initial-advertise-peer-urls", f"https://{HOST}:{peer[name]}",
        "--initial-cluster", peers, "--initial-cluster-state", "new",
        "--cert-file", str(leaf_file), "--key-file", str(leaf_file),
        "--peer-cert-file", str(leaf_file), "--peer-key-file", str(leaf_file),
        "--peer-trusted-ca-file", str(ca_file), "--peer-client-cert-auth",
    ]  # fmt: skip


@contextlib.contextmanager
def cluster(program: str, folder: Path) -> Iterator[Etcd]:
    """Three nodes that answer. Raises BenchError."""
    ca_file, _ = _certificates(folder)
    ports = free_ports(2 * len(NAMES))
    client = dict(zip(NAMES, ports[: len(NAMES)], strict=True))
    peer = dict(zip(NAMES, ports[len(NAMES) :], strict=True))
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name in NAMES:
            with (folder / f"{name}.log").open("wb") as log:
                command = bound(_command(program, name, folder, client, peer))
                running.append(subprocess.Popen(command, stdout=log, stderr=log))
        api = Etcd(client, client_context(ca_file), pids=tuple(process.pid for process in running))
        _wait(api, folder)
        yield api
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _wait(api: Etcd, folder: Path) -> None:
    deadline = time.monotonic() + READY
    for name in NAMES:
        while not _healthy(api, name):
            if time.monotonic() > deadline:
                tail = (folder / f"{name}.log").read_text("utf-8", "replace")[-1000:]
                raise BenchError(f"{name} was not ready within {READY:g} s: {tail}")
            time.sleep(0.1)


def _healthy(api: Etcd, name: str) -> bool:
    url = f"https://{HOST}:{api.ports[name]}/health"
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=2, context=api.context) as found:
        return bool(json.loads(found.read())["health"] == "true")
    return False


def leader(api: Etcd) -> str:
    """The member that leads."""
    for name in NAMES:
        status = _post(api, name, "/v3/maintenance/status")
        if status["leader"] == status["header"]["member_id"]:
            return name
    raise BenchError("no node of etcd says that it leads")


def _post(api: Etcd, name: str, path: str) -> Any:
    url = f"https://{HOST}:{api.ports[name]}{path}"
    with urllib.request.urlopen(url, data=b"{}", timeout=5, context=api.context) as found:
        return json.loads(found.read())
