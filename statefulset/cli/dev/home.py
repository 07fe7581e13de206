"""The folders of one development cluster: what lies in memory, and what may lie on a disk.

    <memory>/raftsafe-dev-<uid>/    0700; identity/, issuer/, tokens/, contexts/, mounts/<workload>/, logs/,
                                    client.json, pid
    <data>/<node>/                  a temporary folder, or --dir, which then holds identity/ and dev.json too

Why it exists: one place that knows the layout. What it refuses to do: put a workload's files anywhere but in memory,
or open a --dir that something else has made.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import uuid
from pathlib import Path

from statefulset.cli.connection import DEV
from statefulset.cli.dev import folders, programs
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.processes import bound

PRIVATE = "raftsafe-check-"


class Home:
    """Made by open_(), gone with close()."""

    def __init__(self, claim: folders.Claim, data: Path, keep: int | None) -> None:
        self.path = claim.path
        self.data = data
        self.identity = (data if keep is not None else claim.path) / "identity"
        self.logs = self._made("logs")
        self.mounts = self._made("mounts")
        self.tokens = self._made("tokens")
        self.contexts = self._made("contexts")
        self.issuer = claim.path / "issuer"
        self.admin_token = self.tokens / "admin"
        self.ca_file = self.identity / "server-ca.crt"
        self._claim = claim
        self._keep = keep

    def _made(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(mode=0o700)
        return path

    def node_data(self, name: str) -> Path:
        path = self.data / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def mount(self, name: str) -> Path:
        """A new, empty folder in memory."""
        path = self.mounts / name
        path.mkdir(mode=0o755)
        return path

    def make_identity(self) -> None:
        """Root key and CAs, unless an earlier run has made them. Raises DevError."""
        if (self.identity / "root.key").exists():
            return
        command = [*programs.command("safe-node"), "init-identity", str(self.identity), "--cluster", programs.CLUSTER]
        done = subprocess.run(
            bound(command), env=programs.clean(os.environ), capture_output=True, timeout=60, check=False
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).decode("utf-8", "replace").splitlines()[-20:]
            raise DevError(
                f"`safe-node init-identity` exited with code {done.returncode}", code="identity", details=tuple(lines)
            )

    def tell_client(self, servers: tuple[str, ...]) -> None:
        """Write what a plain `safe list` of this user looks for; with `--context safe-dev-viewer` as well."""
        told = {
            "servers": list(servers),
            "ca_file": str(self.ca_file),
            "token_file": str(self.admin_token),
            "contexts": {f"{DEV}{file.name}": str(file) for file in [self.admin_token, *self.contexts.iterdir()]},
        }
        temporary = self.path / "client.json.new"
        temporary.write_text(json.dumps(told), "utf-8")
        temporary.rename(self.path / "client.json")

    def close(self) -> None:
        if self._keep is not None:
            with contextlib.suppress(OSError):
                os.close(self._keep)
            self._keep = None
        self._claim.release()

    def left(self) -> list[str]:
        """After close(): what should not be there any more."""
        places = [self.path] if self.identity.parent == self.data else [self.path, self.data]
        return [str(place) for place in places if place.exists()]


def open_(memory: Path, *, private: bool, keep: Path | None, nodes: int) -> Home:
    """Claim the folder in `memory` and the data folder. `private`: under a name of its own, so that it can run beside
    a `safe dev`. `keep`: --dir. Raises DevError."""
    folders.sweep(memory, f"{PRIVATE}{os.getuid()}-")
    name = f"{PRIVATE}{os.getuid()}-{uuid.uuid4().hex[:12]}" if private else f"raftsafe-dev-{os.getuid()}"
    claim = folders.claim(memory / name, unique=private)
    try:
        held = None if keep is None else _keep(keep, nodes)
        return Home(claim, claim.data_folder() if keep is None else keep.absolute(), held)
    except BaseException:
        claim.release()
        raise


def _keep(path: Path, nodes: int) -> int:
    """Lock --dir and check that it is ours and of the same size. Raises DevError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = folders.lock(path)
        if held is None:
            raise DevError(f"--dir {path} is in use by another `safe dev`", code="running")
        try:
            _recognise(path, nodes)
        except BaseException:
            os.close(held)
            raise
    except OSError as error:
        raise DevError(f"--dir {path} cannot be used: {error.strerror}", code="folder") from None
    return held


def _recognise(path: Path, nodes: int) -> None:
    file = path / "dev.json"
    if not file.exists():
        if any(path.iterdir()):
            raise DevError(f"--dir {path} is neither empty nor made by `safe dev`", code="folder")
        file.write_text(json.dumps({"nodes": nodes}), "utf-8")
        return
    try:
        found = json.loads(file.read_text("utf-8"))["nodes"]
    except (ValueError, KeyError, TypeError):
        example = json.dumps({"nodes": nodes})
        raise DevError(f"{file} is damaged; it should say for example {example}", code="folder") from None
    if found != nodes:
        raise DevError(f"--dir {path} holds a cluster of {found} nodes: start it with --nodes {found}", code="folder")
