"""PUTs of both stores as bytes of HTTP/1.1: the same load for each, made by the same code."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"
OK = 200


def client_context(ca_file: Path) -> ssl.SSLContext:
    """Verifies the server, speaks HTTP/1.1."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_alpn_protocols(["http/1.1"])
    return context


def request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json"]
    lines += [f"{key}: {text}" for key, text in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


class Api(Protocol):
    """One store: where it listens, its processes (in the order of `ports`), and how a PUT of it looks. `kind` is the
    word for put.lua."""

    @property
    def kind(self) -> str: ...
    @property
    def ports(self) -> Mapping[str, int]: ...
    @property
    def context(self) -> ssl.SSLContext: ...
    @property
    def token(self) -> str: ...
    @property
    def pids(self) -> tuple[int, ...]: ...
    def put(self, key: str, size: int) -> bytes: ...
    def put_value(self, key: str, value: bytes) -> bytes: ...


@dataclasses.dataclass(frozen=True)
class Safe:
    """`ports`: node -> admin port. The token is read anew each time, as it is renewed in its file."""

    ports: Mapping[str, int]
    context: ssl.SSLContext
    token_file: Path
    kind: str = "safe"
    grant: str = "demo/web"
    pids: tuple[int, ...] = ()

    @property
    def token(self) -> str:
        return self.token_file.read_text("ascii")

    def put(self, key: str, size: int) -> bytes:
        """A random value under bench/`key`, with an Idempotency-Key of its own."""
        return self.put_value(key, os.urandom(size))

    def put_value(self, key: str, value: bytes) -> bytes:
        body = {"fields": {"value": base64.b64encode(value).decode()}, "grants": [self.grant]}
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": secrets.token_hex(16)}
        return request("PUT", f"/v1/secrets/bench/{key}", headers, json.dumps(body).encode())


@dataclasses.dataclass(frozen=True)
class Etcd:
    """`ports`: member -> client port."""

    ports: Mapping[str, int]
    context: ssl.SSLContext
    kind: str = "etcd"
    token: str = ""
    pids: tuple[int, ...] = ()

    def put(self, key: str, size: int) -> bytes:
        return self.put_value(key, os.urandom(size))

    def put_value(self, key: str, value: bytes) -> bytes:
        coded = base64.b64encode(f"bench/{key}".encode()).decode()
        body = {"key": coded, "value": base64.b64encode(value).decode()}
        return request("POST", "/v3/kv/put", {}, json.dumps(body).encode())
