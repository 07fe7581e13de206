"""Every setting of a node, read once from the environment and checked before anything starts.

Why it exists: few settings, each with a default that is right for a pod with CPU limits, each refused with a clear
line when it cannot work. What it refuses to do: read the environment anywhere else, or guess a missing identity.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

from node.errors import Fatal

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts what a pod needs to talk to the API server."""
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MAX_TOKEN = 16 << 10
"""Bytes of the node's own token that are looked at; one of a pod has one or two KiB."""


GRACE = (60.0, 86400.0)
"""Seconds: one re-check of a token, and a day, beyond which "away" has become the normal state."""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where to listen or dial."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise Fatal(f"{text!r} is not host:port", hint="write for example 0.0.0.0:8300")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one node needs to know. Times in seconds.

    Election 0.25 to 0.5 s with a heartbeat of 0.05 s: a CPU limit's throttling period is 0.1 s, and a timeout shorter
    than two of them would depose healthy leaders; see node/raft/DESIGN.md for what each costs at failover.
    """

    name: str
    peers: Mapping[str, Address]
    data_dir: Path
    identity_dir: Path
    peer_template: str = ""
    cluster: str = "raftsafe"
    peer_listen: Address = Address("0.0.0.0", 8300)  # noqa: S104 - a pod listens on its own address
    delivery_listen: Address = Address("0.0.0.0", 8400)  # noqa: S104
    admin_listen: Address = Address("0.0.0.0", 8500)  # noqa: S104
    server_names: tuple[str, ...] = ("localhost", "127.0.0.1")
    issuer: str = "https://kubernetes.default.svc"
    issuer_ca: Path | None = None
    issuer_token: Path | None = None
    audience: str = "raftsafe"
    admin_audience: str = "raftsafe-admin"
    api_server: str = ""
    api_ca: Path | None = ACCOUNT / "ca.crt"
    api_token: Path = ACCOUNT / "token"
    review_grace: float = 3600.0
    admin_socket: Path | None = None
    admin_rate: int = 5000
    audit_file: Path | None = None
    heartbeat: float = 0.05
    election_min: float = 0.25
    election_max: float = 0.5
    disk_stall: float = 1.0
    snapshot_bytes: int = 64 << 20
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise Fatal(f"SAFE_NAME {self.name!r} is not a DNS label")
        if self.name not in self.peers:
            raise Fatal(f"SAFE_PEERS does not name this node, {self.name}")
        if not self.heartbeat * 3 < self.election_min < self.election_max:
            raise Fatal(
                "SAFE_ELECTION must be MIN:MAX with 3 x SAFE_HEARTBEAT < MIN < MAX",
                hint="a shorter minimum deposes healthy leaders whenever one heartbeat is late",
            )
        if self.peer_template:
            if "{name}" not in self.peer_template:
                raise Fatal("SAFE_PEER_TEMPLATE must hold {name}", hint="for example {name}.safe-peers:8300")
            Address.parse(self.peer_template)
        if self.admin_rate < 1:
            raise Fatal(
                "SAFE_ADMIN_RATE must be a whole number above 0", hint="tokens a second; see node/admin/DESIGN.md"
            )
        if self.snapshot_bytes < 1 << 16:
            raise Fatal("SAFE_SNAPSHOT_BYTES below 65536 would snapshot on every write")
        if not GRACE[0] <= self.review_grace <= GRACE[1]:
            raise Fatal(
                f"SAFE_REVIEW_GRACE must be {GRACE[0]:.0f} to {GRACE[1]:.0f} seconds",
                hint="for so long new streams are let in while the API server confirms nobody; the default is an hour",
            )

    def address_of(self, name: str) -> Address | None:
        """Where the pod of this name listens for peers; None when nothing tells."""
        if name in self.peers or not self.peer_template:
            return self.peers.get(name)
        return Address.parse(self.peer_template.replace("{name}", name))


def _template(peers: Mapping[str, Address]) -> str:
    """The one pattern that all configured addresses follow, "" if there is none: a StatefulSet's do."""
    found = {str(Address("{name}" + address.host.removeprefix(name), address.port)) for name, address in peers.items()}
    fits = all(address.host.startswith(f"{name}.") for name, address in peers.items())
    return found.pop() if fits and len(found) == 1 else ""


def _below(name: str, template: str) -> dict[str, Address]:
    """This pod and those of lower ordinals, whom it has to dial, also where SAFE_PEERS was written for fewer pods."""
    prefix, _, ordinal = name.rpartition("-")
    if not template or not prefix or not re.fullmatch(r"0|[1-9]\d{0,2}", ordinal):
        return {}
    names = [f"{prefix}-{number}" for number in range(int(ordinal) + 1)]
    return {each: Address.parse(template.replace("{name}", each)) for each in names}


def _peers(text: str) -> dict[str, Address]:
    out: dict[str, Address] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = item.partition("=")
        if not equals:
            raise Fatal(f"SAFE_PEERS: {item!r} is not name=host:port")
        if not NAME.fullmatch(name) or name in out:
            raise Fatal(f"SAFE_PEERS: {name!r} is not a DNS label, or stands there twice")
        out[name] = Address.parse(address)
    return out


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _seconds(env: Mapping[str, str], key: str, default: float) -> float:
    try:
        return float(env.get(key, default))
    except ValueError:
        raise Fatal(f"{key} must be a number of seconds") from None


def _issuer(env: Mapping[str, str], default: str) -> str:
    """SAFE_ISSUER, or who has issued this pod's own token: the API server that made it knows its name, people may not.

    The token is not verified here. Whoever can replace it is the kubelet, or can set SAFE_ISSUER as well."""
    if env.get("SAFE_ISSUER") or not env.get("SAFE_ISSUER_TOKEN_FILE"):
        return env.get("SAFE_ISSUER") or default
    path = Path(env["SAFE_ISSUER_TOKEN_FILE"])
    try:
        claims = path.read_bytes()[:MAX_TOKEN].split(b".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["iss"]
    except (OSError, ValueError, LookupError, TypeError):
        issuer = None
    if not isinstance(issuer, str) or not issuer.startswith("https://"):
        raise Fatal(
            f"SAFE_ISSUER is not set, and {path} does not hold a token that names an https issuer",
            hint="project a service-account token there, or set SAFE_ISSUER to the iss claim of the cluster's tokens",
        )
    return issuer


def _api_server(env: Mapping[str, str]) -> str:
    """The address of the API server: what is set, else what Kubernetes puts into every pod. Raises Fatal."""
    url = env.get("SAFE_API_SERVER", "")
    if not url and (host := env.get("KUBERNETES_SERVICE_HOST")):
        url = f"https://{Address(host, int(env.get('KUBERNETES_SERVICE_PORT_HTTPS', '443')))}"
    if not url.startswith("https://"):
        raise Fatal(
            "SAFE_API_SERVER is not an https address, and this is not a pod",
            hint="rights and revoked tokens are asked for there: write https://host:port",
        )
    return url.rstrip("/")


def load(env: Mapping[str, str]) -> Settings:
    """Settings from SAFE_* variables. Raises Fatal with one line that names the variable."""
    for key in ("SAFE_NAME", "SAFE_PEERS", "SAFE_DATA_DIR", "SAFE_IDENTITY_DIR"):
        if not env.get(key):
            raise Fatal(f"{key} is not set", hint="see node/DESIGN.md, Settings")
    low, _, high = env.get("SAFE_ELECTION", "0.25:0.5").partition(":")
    try:
        election = float(low), float(high)
        snapshot_bytes = int(env.get("SAFE_SNAPSHOT_BYTES", str(64 << 20)))
        admin_rate = int(env.get("SAFE_ADMIN_RATE", "5000"))
    except ValueError:
        what = "SAFE_ELECTION must be MIN:MAX in seconds, SAFE_SNAPSHOT_BYTES and SAFE_ADMIN_RATE integers"
        raise Fatal(what) from None
    peers = _peers(env["SAFE_PEERS"])
    template = env.get("SAFE_PEER_TEMPLATE") or _template(peers)
    defaults = Settings("x", {"x": Address("x", 1)}, Path(), Path())

    def listen(key: str, default: Address) -> Address:
        return Address.parse(env[key]) if env.get(key) else default

    return Settings(
        name=env["SAFE_NAME"],
        peers={**_below(env["SAFE_NAME"], template), **peers},
        peer_template=template,
        data_dir=Path(env["SAFE_DATA_DIR"]),
        identity_dir=Path(env["SAFE_IDENTITY_DIR"]),
        cluster=env.get("SAFE_CLUSTER", defaults.cluster),
        server_names=_words(env.get("SAFE_SERVER_NAMES", "")) or defaults.server_names,
        issuer=_issuer(env, defaults.issuer),
        issuer_ca=Path(env["SAFE_ISSUER_CA"]) if env.get("SAFE_ISSUER_CA") else None,
        issuer_token=Path(env["SAFE_ISSUER_TOKEN_FILE"]) if env.get("SAFE_ISSUER_TOKEN_FILE") else None,
        api_server=_api_server(env),
        api_ca=Path(env["SAFE_API_CA"]) if env.get("SAFE_API_CA") else defaults.api_ca,
        api_token=Path(env["SAFE_API_TOKEN_FILE"]) if env.get("SAFE_API_TOKEN_FILE") else defaults.api_token,
        review_grace=_seconds(env, "SAFE_REVIEW_GRACE", defaults.review_grace),
        admin_socket=Path(env["SAFE_ADMIN_SOCKET"]) if env.get("SAFE_ADMIN_SOCKET") else None,
        admin_rate=admin_rate,
        audit_file=Path(env["SAFE_AUDIT_FILE"]) if env.get("SAFE_AUDIT_FILE") else None,
        heartbeat=_seconds(env, "SAFE_HEARTBEAT", defaults.heartbeat),
        election_min=election[0],
        election_max=election[1],
        disk_stall=_seconds(env, "SAFE_DISK_STALL", defaults.disk_stall),
        snapshot_bytes=snapshot_bytes,
        log_level=env.get("SAFE_LOG_LEVEL", defaults.log_level),
        peer_listen=listen("SAFE_PEER_LISTEN", defaults.peer_listen),
        delivery_listen=listen("SAFE_DELIVERY_LISTEN", defaults.delivery_listen),
        admin_listen=listen("SAFE_ADMIN_LISTEN", defaults.admin_listen),
    )
