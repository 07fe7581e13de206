"""Where the store is and who we are: three environment variables, the socket of the node in whose pod we run, a
`safe dev` on this machine, or a kubeconfig.

Why it exists: every command asks the same question and must fail with the same clear line.
What it refuses to do: speak plain HTTP, take a token from the command line or the environment, or trust a folder in
/dev/shm that somebody else could have put there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from statefulset.cli.errors import CliError, usage

SOCKET = Path("/run/raftsafe/admin/admin.sock")
"""Where the manifests have a node put its socket."""
SHM = Path("/dev/shm")  # noqa: S108 - memory, and the folder's owner and mode are checked
MEMORY = "SAFE_DEV_MEMORY"
"""Names another place in memory for `safe dev`, and where to look for a running one."""
DEV = "safe-dev-"
"""What the contexts of a running `safe dev` begin with: one for each identity. No kubeconfig is asked for them."""
MAX_TOKEN = 16 << 10
"""Bytes; projected tokens have 1 to 2 KiB and the nodes refuse more than this."""
NAMESPACE = "raftsafe"
"""Where a store is installed if nothing else is said."""
_HOW = (
    "have a kubeconfig, set SAFE_SERVER (https://host:port, several with commas), SAFE_CA_FILE and SAFE_TOKEN_FILE, or "
    "run `safe dev`"
)


class Way(Protocol):
    """Something between us and the servers that has to be kept open (cli/tunnel.py)."""

    @property
    def login(self) -> Any: ...
    @property
    def namespace(self) -> str: ...
    @property
    def account(self) -> str: ...
    def token(self) -> str: ...
    def called(self, server: str) -> str: ...
    def why(self, server: str) -> str: ...
    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the caller said about the cluster. `account`: "namespace/name" of a service account to act as. `cluster`:
    he means a cluster, whatever else there is."""

    context: str = ""
    namespace: str = NAMESPACE
    account: str = ""
    cluster: bool = False

    @property
    def dev(self) -> bool:
        """Whether the cluster that is named is the `safe dev` of this machine."""
        return self.context.startswith(DEV)


@dataclasses.dataclass(frozen=True)
class Connection:
    """`servers` are base URLs without a slash at the end, at least one. Without `ca_file` and `ca` (PEM) the system's
    CAs count. `socket`: of the node in whose pod we run; it asks for no token, and the kernel tells it who we are."""

    servers: tuple[str, ...]
    ca_file: Path | None
    token_file: Path | None
    socket: Path | None = None
    ca: str = ""
    way: Way | None = None

    def token(self) -> str:
        """The bearer token, read anew at each call, because the kubelet renews the file; "" where none is asked for.
        Raises CliError (usage)."""
        if self.way is not None:
            return self.way.token()
        if self.token_file is None:
            return ""
        hint = f"SAFE_TOKEN_FILE is {self.token_file}; it must hold one token for the audience raftsafe-admin"
        try:
            with self.token_file.open("rb") as file:
                data = file.read(MAX_TOKEN + 1).strip()
        except OSError as error:
            raise usage(f"the token file cannot be read: {error.strerror}", hint) from None
        good = (
            data.isascii() and data and len(data) <= MAX_TOKEN and not any(byte <= 32 or byte == 127 for byte in data)
        )
        if not good:
            raise usage("the token file does not hold one token", hint)
        return data.decode("ascii")


def find(env: Mapping[str, str], uid: int, shm: Path = SHM, asked: Asked | None = None) -> Connection:
    """The connection from the environment, else the socket of this pod, a running `safe dev` of this user, a
    kubeconfig. `asked`: None for no kubeconfig. Raises CliError: usage, and with a kubeconfig refused and away."""
    folder = dev_folder(env, uid, shm)
    if asked is not None and asked.cluster:
        if env.get("SAFE_SERVER"):
            # Either may be another store than the one that is meant.
            raise usage("a cluster is named and SAFE_SERVER is set", "unset SAFE_SERVER, or name no cluster")
        return _dev(folder, uid, asked.context) if asked.dev else _cluster(env, asked)
    if env.get("SAFE_SERVER"):
        if not env.get("SAFE_TOKEN_FILE"):
            raise usage(
                "SAFE_TOKEN_FILE is not set", "it names the file with your token for the audience raftsafe-admin"
            )
        ca_file = Path(env["SAFE_CA_FILE"]) if env.get("SAFE_CA_FILE") else None
        return _checked(env["SAFE_SERVER"].split(","), ca_file, Path(env["SAFE_TOKEN_FILE"]))
    for key in ("SAFE_TOKEN_FILE", "SAFE_CA_FILE"):
        if env.get(key):
            # Somebody means a real store; falling back to a `safe dev` here would look like success.
            raise usage(f"{key} is set, SAFE_SERVER is not", _HOW)
    if (path := _socket(env, uid)) is not None:
        return Connection(("http://localhost",), None, None, path)
    if asked is not None and not os.path.lexists(folder) and kubeconfig(env):
        return _cluster(env, asked)
    return _dev(folder, uid)


def dev_folder(env: Mapping[str, str], uid: int, shm: Path = SHM) -> Path:
    """Where a `safe dev` of this user would be."""
    return Path(env.get(MEMORY) or shm) / f"raftsafe-dev-{uid}"


def kubeconfig(env: Mapping[str, str]) -> str:
    """KUBECONFIG as it is, else ~/.kube/config if there is one, else ""."""
    usual = os.path.join(env.get("HOME") or "/nonexistent", ".kube", "config")
    return env.get("KUBECONFIG") or (usual if os.path.exists(usual) else "")


def dev_contexts(folder: Path, uid: int) -> frozenset[str]:
    """Those of the `safe dev` there; none if it cannot be used."""
    try:
        _believed(folder, uid)
        return frozenset(json.loads((folder / "client.json").read_text("utf-8"))["contexts"])
    except (CliError, OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _cluster(env: Mapping[str, str], asked: Asked) -> Connection:
    path = kubeconfig(env)
    if not path:
        hint = "KUBECONFIG names one; without it, it is ~/.kube/config"
        if not (asked.context or asked.account):
            hint = (
                "--namespace before the command says where in a cluster the store is installed; the secrets of one "
                "namespace are shown by `safe list --namespace NAMESPACE`"
            )
        raise usage("there is no kubeconfig", hint)
    from statefulset.cli.tunnel import connect  # the kubernetes client takes longer to import than --help should

    return connect(path, asked)


def _socket(env: Mapping[str, str], uid: int) -> Path | None:
    """The socket of the node in this pod, None if there is none. One that was named must be there."""
    path = Path(env.get("SAFE_ADMIN_SOCKET") or SOCKET)
    try:
        found = path.lstat()
    except OSError as error:
        if env.get("SAFE_ADMIN_SOCKET"):
            hint = "is the node of this pod running, and do you run as its user?"
            raise usage(f"SAFE_ADMIN_SOCKET cannot be used: {error.strerror}", hint) from None
        return None
    if not stat.S_ISSOCK(found.st_mode) or uid not in (0, found.st_uid):
        hint = "SAFE_ADMIN_SOCKET names the socket of the node in this pod; run as its user, or as root of the pod"
        raise usage(f"{path} is not a socket of yours", hint)
    return path


def _believed(folder: Path, uid: int) -> None:
    """Raises OSError if it is not there, CliError (usage) if somebody else could have put it there."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise usage(f"{folder} is not a folder of yours with mode 0700, so it is not believed", _HOW)


def _dev(folder: Path, uid: int, context: str = "") -> Connection:
    """`context`: one of its own, "" for the admin's."""
    try:
        _believed(folder, uid)
    except OSError:
        what = "no `safe dev` of yours is running" if context else "it is not known where the store is"
        raise usage(what, "run `safe dev`; the context is one of its own" if context else _HOW) from None
    failed = usage(f"{folder}/client.json cannot be used", "is `safe dev` still starting? If it is gone, run it again")
    try:
        data = json.loads((folder / "client.json").read_text("utf-8"))
        servers, ca_file, token_file = data["servers"], data["ca_file"], data["token_file"]
        contexts = dict(data.get("contexts", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise failed from None
    if context:
        if context not in contexts:
            raise usage("`safe dev` has no context of that name", f"it has: {', '.join(sorted(contexts))}")
        token_file = contexts[context]
    if not isinstance(servers, list) or not all(isinstance(word, str) for word in (*servers, ca_file, token_file)):
        raise failed
    return _checked(servers, folder / ca_file, folder / token_file)


def _checked(servers: list[str], ca_file: Path | None, token_file: Path) -> Connection:
    urls = tuple(url.strip().rstrip("/") for url in servers if url.strip())
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme == "https" and parts.hostname and parts.port != 0 and not parts.path and "@" not in url
        except ValueError:
            good = False
        if not good:
            raise usage("SAFE_SERVER holds something other than https://host:port", "write https://safe.example:8500")
    if not urls:
        raise usage("SAFE_SERVER names no server", _HOW)
    if ca_file is not None and not os.access(ca_file, os.R_OK):
        raise usage(
            f"the CA file {ca_file} cannot be read", "SAFE_CA_FILE names the certificate of the store's server CA"
        )
    return Connection(urls, ca_file, token_file)
