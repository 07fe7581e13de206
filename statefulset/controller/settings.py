"""Settings of `safe-control run`, read once from the environment.

Why it exists: few settings, all given by the manifests; a missing one is one clear line.
What it refuses to do: read the environment anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from statefulset.kube.objects import ACCOUNT

PORT: Final = 9443
"""Of the webhook: API servers of managed clusters may only reach a few ports, and this is the customary one."""


class SettingsError(Exception):
    """One line that names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`server` and `nodes`: the store's admin and delivery addresses, as clients dial them; `each_server`: where one
    node answers, {name} being its pod; `service`: the DNS name under which the API server calls the webhook."""

    name: str
    namespace: str
    image: str
    nodes: str
    server: str
    each_server: str
    ca_file: Path
    token_file: Path
    service: str
    port: int = PORT
    account: Path = ACCOUNT


def load(env: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    needed = ("SAFE_NAME", "SAFE_NAMESPACE", "SAFE_SIDECAR_IMAGE", "SAFE_CA_FILE", "SAFE_TOKEN_FILE")
    if missing := [key for key in needed if not env.get(key)]:
        raise SettingsError(f"{', '.join(missing)} not set; see statefulset/DESIGN.md")
    namespace, port = env["SAFE_NAMESPACE"], env.get("SAFE_WEBHOOK_PORT") or str(PORT)
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingsError("SAFE_WEBHOOK_PORT is not a port number")
    return Settings(
        name=env["SAFE_NAME"],
        namespace=namespace,
        image=env["SAFE_SIDECAR_IMAGE"],
        nodes=env.get("SAFE_NODES") or f"safe-delivery.{namespace}.svc:8400",
        server=env.get("SAFE_SERVER") or f"https://safe-admin.{namespace}.svc:8500",
        each_server=env.get("SAFE_SERVER_TEMPLATE") or f"https://{{name}}.safe-peers.{namespace}.svc:8500",
        ca_file=Path(env["SAFE_CA_FILE"]),
        token_file=Path(env["SAFE_TOKEN_FILE"]),
        service=env.get("SAFE_WEBHOOK_SERVICE") or f"safe-control.{namespace}.svc",
        port=int(port),
        account=Path(env.get("SAFE_ACCOUNT_DIR") or ACCOUNT),
    )
