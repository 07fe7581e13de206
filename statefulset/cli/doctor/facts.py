"""What `safe doctor` knows, as plain data: gathered in one module, judged in another.

Why it exists: every judgement can be tested without a cluster. What it refuses to do: hold a token or a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Unknown:
    """Could not be looked at from here, and why. `refused`: for want of our own rights, which says nothing about it."""

    why: str
    remedy: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Node:
    """One node as asked. `status`: of /v1/status, None if it did not answer, then `failure` says why. `skew_ms`: its
    clock minus ours, known to `unsure_ms`. `expires_ms`: when the certificate it showed ends."""

    server: str
    status: Document | None = None
    failure: str = ""
    skew_ms: float | None = None
    unsure_ms: float = 0.0
    expires_ms: int | None = None


@dataclass(frozen=True)
class Installed:
    """What the API server has. `absent`, `unread`: "Kind name" of the objects of an installation. `handshakes`: pod of
    safe-control -> "" or why its webhook is not trusted."""

    absent: Sequence[str] = ()
    unread: Sequence[str] = ()
    documents: Mapping[str, Document] = field(default_factory=dict)
    pods: Sequence[Document] | Unknown = ()
    claims: Sequence[Document] | Unknown = ()
    handshakes: Mapping[str, str] | Unknown = field(default_factory=dict)
    review: bool | Unknown = True
    may: Mapping[str, bool] | Unknown = field(default_factory=dict)
    declared: Sequence[Document] | Unknown = ()


@dataclass(frozen=True)
class Facts:
    """`where`: how it was looked, for the reader. `authority`: when each trusted certificate of the store ends, in ms.
    `versions`: "namespace/name" -> (newest version, when it was made, in ms). `reviewed`: our token was, to be
    answered."""

    where: str
    now_ms: int
    version: str
    namespace: str
    nodes: Sequence[Node] | Unknown
    authority: Sequence[int] | Unknown
    sidecars: Sequence[Document] | Unknown
    versions: Mapping[str, tuple[int, int]] | Unknown
    installed: Installed | Unknown
    reviewed: bool = False
