"""How our own programs are started: command lines and environments, as a pod spec would give them.

Why it exists: `safe dev` uses the commands that a person has, with the settings that a pod has, and nothing else.
What it refuses to do: pass on SAFE_* variables of the person's own shell, which belong to another store.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from statefulset.cli.dev.issuer import NODE_TOKEN
from statefulset.cli.dev.ports import HOST, NodePorts, Ports

MODULES: Final = {"safe": "statefulset.cli", "safe-node": "node", "safe-sidecar": "sidecar"}
ADMIN: Final = "system:serviceaccount:raftsafe:admin"
AUDIENCE: Final = "raftsafe"
ADMIN_AUDIENCE: Final = "raftsafe-admin"
CLUSTER: Final = "raftsafe-dev"
TUNABLE: Final = (
    "SAFE_ADMIN_RATE",
    "SAFE_AUDIT_FILE",
    "SAFE_DISK_STALL",
    "SAFE_ELECTION",
    "SAFE_HEARTBEAT",
    "SAFE_LOG_LEVEL",
    "SAFE_REVIEW_GRACE",
    "SAFE_SNAPSHOT_BYTES",
)
"""Settings of a node that a developer may try out: all but those that say where it is and whom it trusts."""
MARK: Final = "SAFE_DEV_HOME"
"""A variable that each of our processes carries, so that one left over can be told from everybody else's."""


def command(name: str) -> tuple[str, ...]:
    """The installed executable beside this interpreter, else the module."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return (str(beside),)
    return (sys.executable, "-m", MODULES[name])


def invocation(called: str) -> str:
    """What a person types to run the `safe` that is running, `called` being its argv[0]: the bare name if a shell finds
    this very file by it, else the path, from the current folder if it lies below."""
    if Path(called).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {MODULES['safe']}"
    found = shutil.which("safe")
    with contextlib.suppress(OSError):
        if found is not None and os.path.samefile(found, called):
            return "safe"
    path = os.path.abspath(called)
    if Path(path).is_relative_to(Path.cwd()):
        called = os.path.relpath(path)
    return shlex.quote(called if os.sep in called else os.path.join(os.curdir, called))


def clean(env: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in env.items() if not key.startswith("SAFE_")}


def node_names(count: int) -> tuple[str, ...]:
    """As the pods of a StatefulSet are called."""
    return tuple(f"safe-{number}" for number in range(count))


def node_env(name: str, ports: Ports, data: Path, identity: Path, issuer: str, issuer_ca: Path) -> dict[str, str]:
    """The settings of one node; see node/settings.py."""
    names = node_names(len(ports.nodes))
    own = ports.nodes[names.index(name)]
    return {
        "SAFE_NAME": name,
        "SAFE_CLUSTER": CLUSTER,
        "SAFE_PEERS": ",".join(f"{peer}={HOST}:{its.peer}" for peer, its in zip(names, ports.nodes, strict=True)),
        "SAFE_PEER_LISTEN": f"{HOST}:{own.peer}",
        "SAFE_DELIVERY_LISTEN": f"{HOST}:{own.delivery}",
        "SAFE_ADMIN_LISTEN": f"{HOST}:{own.admin}",
        "SAFE_ADMIN_SOCKET": str(admin_socket(issuer_ca, name)),
        "SAFE_SERVER_NAMES": f"localhost,{HOST}",
        "SAFE_DATA_DIR": str(data),
        "SAFE_IDENTITY_DIR": str(identity),
        "SAFE_ISSUER": issuer,
        "SAFE_ISSUER_CA": str(issuer_ca),
        "SAFE_API_SERVER": issuer,
        "SAFE_API_CA": str(issuer_ca),
        "SAFE_API_TOKEN_FILE": str(issuer_ca.with_name(NODE_TOKEN)),
    }


def admin_socket(issuer_ca: Path, name: str) -> Path:
    """Of the node, in memory; in a cluster it is in the node's pod."""
    return issuer_ca.with_name(f"admin-{name}") / "admin.sock"


def server(ports: NodePorts) -> str:
    """The URL of a node's admin API."""
    return f"https://{HOST}:{ports.admin}"


def sidecar_env(
    ports: Ports, ca_file: Path, token_file: Path, target: Path, pod: str, want: Sequence[str] = ()
) -> dict[str, str]:
    """The settings of one sidecar; see sidecar/settings.py."""
    return {
        "SAFE_NODES": ",".join(f"{HOST}:{node.delivery}" for node in ports.nodes),
        "SAFE_CA_FILE": str(ca_file),
        "SAFE_TOKEN_FILE": str(token_file),
        "SAFE_TARGET": str(target),
        "SAFE_POD": pod,
        "SAFE_SECRETS": ",".join(want),
    }
