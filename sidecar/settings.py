"""Every setting of a sidecar, read once from the environment and checked before anything starts.

Why it exists: a sidecar runs in other people's pods; a setting that cannot work is refused with one line that names
the variable. What it refuses to do: read the environment anywhere else, or guess where secrets may be written.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar import rules
from sidecar.rules import Notify, Rule
from sidecar.wire import messages, names

ALLOW_DISK: Final = "write-plaintext-to-disk"
"""The only value of SAFE_ALLOW_DISK that means anything: whoever sets it has read what it does."""
MODES: Final = ("run", "init", "check")
MAX_NODES: Final = 64


class SettingsError(Exception):
    """One line: which variable, and what it should be."""


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of SAFE_NODES. `host` may resolve to several addresses (a headless service)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one sidecar needs to know. Times in seconds; `secrets` empty: everything granted to this pod; `file_group`
    None: what the folder gives (its own group if it is setgid, as the kubelet makes it for fsGroup)."""

    mode: str
    target: str
    nodes: tuple[Node, ...] = ()
    ca_file: str = ""
    token_file: str = ""
    secrets: tuple[str, ...] = ()
    pod: str = "unknown"
    deadline: float = 60.0
    file_mode: int = 0o444
    file_group: int | None = None
    render: tuple[Rule, ...] = ()
    notify: Notify | None = None
    allow_disk: bool = False
    max_staleness: float = 0.0


def _node(text: str) -> Node:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host.isascii() or not host.isprintable():
        raise SettingsError("SAFE_NODES: host names must be ASCII (xn--... for others)")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"SAFE_NODES: {text!r} is not host:port")
    return Node(host, int(port))


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def _nodes(text: str) -> tuple[Node, ...]:
    nodes = tuple(map(_node, _words(text)))
    if not 1 <= len(nodes) <= MAX_NODES:
        raise SettingsError(f"SAFE_NODES must name 1 to {MAX_NODES} nodes, as host:port,host:port")
    return nodes


def _secrets(text: str) -> tuple[str, ...]:
    wanted = _words(text)
    for name in wanted:
        if not names.is_secret(name):
            raise SettingsError(f"SAFE_SECRETS: {name!r} is not namespace/name")
    if len(wanted) > names.MAX_SECRETS:
        raise SettingsError(f"SAFE_SECRETS names {len(wanted)} secrets, the limit is {names.MAX_SECRETS}")
    return wanted


def _seconds(env: Mapping[str, str], key: str, default: float, low: float) -> float:
    try:
        seconds = float(env.get(key) or default)
    except ValueError:
        raise SettingsError(f"{key} must be a number of seconds") from None
    if not low <= seconds <= 31_536_000:  # a year; also refuses nan and inf
        raise SettingsError(f"{key} must be {low:g} to 31536000 seconds")
    return seconds


def _file_mode(text: str) -> int:
    try:
        return rules.file_mode(text)
    except ValueError as error:
        raise SettingsError(f"SAFE_FILE_MODE {error}") from None


def _file_group(text: str) -> int | None:
    if text and (not text.isascii() or not text.isdigit() or int(text) >= 1 << 31):
        raise SettingsError("SAFE_FILE_GROUP must be a numeric group id")
    return int(text) if text else None


def _render(text: str) -> tuple[Rule, ...]:
    try:
        return rules.render(text)
    except ValueError as error:
        raise SettingsError(f"SAFE_RENDER: {error}") from None


def _notify(text: str) -> Notify | None:
    try:
        return rules.notify(text)
    except ValueError as error:
        raise SettingsError(f"SAFE_NOTIFY: {error}") from None


def _pod(text: str) -> str:
    if len(text) > messages.MAX_WORD or not text.isascii() or not text.isprintable():
        raise SettingsError(f"SAFE_POD must be at most {messages.MAX_WORD} printable ASCII characters")
    return text


def _target(env: Mapping[str, str]) -> str:
    target = env.get("SAFE_TARGET", "")
    if not target.startswith("/") or "\0" in target:
        raise SettingsError("SAFE_TARGET must be the absolute path of the folder to write to")
    return target


def _path(env: Mapping[str, str], key: str) -> str:
    path = env.get(key, "")
    if not path or "\0" in path:
        raise SettingsError(f"{key} is not set")
    return path


def load(env: Mapping[str, str], mode: str = "") -> Settings:
    """Settings from SAFE_* variables; `mode` from the command line goes before SAFE_MODE.

    Raises SettingsError with one line that names the variable. `check` needs nothing but SAFE_TARGET: it reads what
    is in place and speaks to nobody.
    """
    mode = mode or env.get("SAFE_MODE") or "run"
    if mode not in MODES:
        raise SettingsError(f"mode {mode!r} is not one of {', '.join(MODES)}")
    target = _target(env)
    if mode == "check":
        return Settings(mode=mode, target=target)
    allow = env.get("SAFE_ALLOW_DISK", "")
    if allow not in ("", ALLOW_DISK):
        raise SettingsError(f"SAFE_ALLOW_DISK must be unset or exactly {ALLOW_DISK}")
    return Settings(
        mode=mode,
        target=target,
        nodes=_nodes(env.get("SAFE_NODES", "")),
        ca_file=_path(env, "SAFE_CA_FILE"),
        token_file=_path(env, "SAFE_TOKEN_FILE"),
        secrets=_secrets(env.get("SAFE_SECRETS", "")),
        pod=_pod(env.get("SAFE_POD") or socket.gethostname() or "unknown"),
        deadline=_seconds(env, "SAFE_DEADLINE", 60.0, 0.1),
        file_mode=_file_mode(env.get("SAFE_FILE_MODE") or "0444"),
        file_group=_file_group(env.get("SAFE_FILE_GROUP", "")),
        render=_render(env.get("SAFE_RENDER", "")),
        notify=_notify(env.get("SAFE_NOTIFY", "")),
        allow_disk=allow == ALLOW_DISK,
        max_staleness=_seconds(env, "SAFE_MAX_STALENESS", 0.0, 0.0),
    )
