"""What an attacker has: the addresses of the three doors, credentials of his own that are good for something else, and
sockets. Built around the real processes of `safe dev`.

What it refuses to do: use a client library that would mend what is sent.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from node.crypto import certs
from node.raft import transport
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader
from statefulset.cli.dev.harness import DevCluster
from statefulset.cli.dev.issuer import SigningKey
from statefulset.cli.dev.programs import ADMIN_AUDIENCE, AUDIENCE, CLUSTER

PATIENCE = 15.0
"""Seconds for any answer; a door that says nothing for so long has not refused."""
CANARY = b"canary-of-the-attacks-7f3a91"
SECRET = "bank/vault"


class World:
    """`SECRET` is granted to the workload bank/teller; the attacker runs as demo/web and demo/mallory."""

    def __init__(self, cluster: DevCluster) -> None:
        self.cluster = cluster
        self.issuer = cluster.issuer
        self.identity: Path = cluster.home.identity
        self.own_key = SigningKey()
        self.seen: list[bytes] = []
        """Every byte that an attacker was answered; searched for the canary at the end."""

    # -- credentials -------------------------------------------------------------------------------------------------

    def claims(self, audience: str = AUDIENCE, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        bound = {"namespace": "bank", "serviceaccount": {"name": "teller", "uid": "u"}}
        base = {
            "iss": self.issuer.url, "aud": [audience], "sub": "system:serviceaccount:bank:teller",
            "iat": now - 5, "nbf": now - 5, "exp": now + 600, "kubernetes.io": bound,
        }  # fmt: skip
        return {key: value for key, value in {**base, **other}.items() if value is not None}

    def workload(self, namespace: str = "bank", account: str = "teller", audience: str = AUDIENCE, **more: Any) -> str:
        return self.issuer.token(namespace, account, audience=audience, pod=more.pop("pod", "p"), **more)

    def person(self, name: str, *roles: tuple[str, str]) -> str:
        """A user with (role, namespace) bound."""
        for role, namespace in roles:
            self.issuer.api.bind(role, f"system:serviceaccount:people:{name}", namespace)
        return self.issuer.token("people", name, audience=ADMIN_AUDIENCE)

    @property
    def admin(self) -> str:
        return self.issuer.token("raftsafe", "admin", audience=ADMIN_AUDIENCE)

    # -- sockets -----------------------------------------------------------------------------------------------------

    def client(self, certificate: certs.Leaf | None = None, door: str = "server") -> ssl.SSLContext:
        """Believes whoever answers: an attacker checks nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate is not None:
            certs.renew(context, certificate)
        return context

    def port(self, door: str, node: int = 0) -> int:
        return int(getattr(self.cluster.ports.nodes[node], door))

    def plain(self, door: str, node: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port(door, node)), PATIENCE)

    def tls(self, door: str, context: ssl.SSLContext | None = None, node: int = 0) -> ssl.SSLSocket:
        return (context or self.client()).wrap_socket(self.plain(door, node), server_hostname="localhost")

    def read(self, stream: socket.socket, size: int = 65536) -> bytes:
        data = stream.recv(size)
        self.seen.append(data)
        return data

    def ended(self, stream: socket.socket, patience: float = PATIENCE) -> str:
        """ "closed" when the other end has ended the stream, else how long it did not."""
        stream.settimeout(patience)
        try:
            while self.read(stream):
                pass
        except TimeoutError:
            return f"still open after {patience:g} s"
        except OSError:
            pass
        return "closed"

    # -- admins' door ------------------------------------------------------------------------------------------------

    def raw(self, data: bytes, node: int = 0) -> list[tuple[int, bytes]]:
        """Every answer to these bytes until the stream ends or is quiet: (status, body)."""
        with self.tls("admin", node=node) as stream:
            stream.sendall(data)
            answers, buffer = [], b""
            stream.settimeout(PATIENCE)
            while True:
                try:
                    chunk = self.read(stream)
                except (TimeoutError, OSError):
                    break
                buffer += chunk
                while (found := _answer(buffer)) is not None:
                    answers.append(found[:2])
                    buffer = found[2]
                    stream.settimeout(1.0)
                if not chunk:
                    break
        return answers

    def http(
        self, method: str, path: str, token: str | None = None, body: Any = None, node: int = 0, **headers: str
    ) -> str:
        """ "403 forbidden": status and code of the first answer."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"Authorization: Bearer {token}"] if token is not None else []
        more = {"Content-Length": str(len(data)), "Content-Type": "application/json"} if body is not None else {}
        lines += [f"{key.replace('_', '-')}: {text}" for key, text in {**more, **headers}.items()]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
        answers = self.raw(head + data, node)
        return said(answers[0]) if answers else "closed"

    def put(self, name: str, token: str, value: bytes = b"v", **more: Any) -> str:
        headers = {key: more.pop(key) for key in list(more) if key[0].isupper()}
        body = {"fields": {"value": base64.b64encode(value).decode()}, **more}
        return self.http("PUT", f"/v1/secrets/{name}", token, body, **headers)

    # -- delivery door -----------------------------------------------------------------------------------------------

    def hello(self, token: str, *want: str, pod: str = "p", node: int = 0) -> str:
        """What a sidecar with this token is told about the secrets it wants: a code, or what it was given."""
        greeting = m.Hello((1, 2), token, pod, "i", "attacker", want=want)
        return self.frames(m.pack(greeting), node=node)

    def frames(self, data: bytes, node: int = 0) -> str:
        with self.tls("delivery", node=node) as stream:
            stream.sendall(data)
            return self.told(stream)

    def told(self, stream: ssl.SSLSocket) -> str:
        """The first word of importance: a refusal, a denial, or the secrets of the first batch."""
        reader, given = FrameReader(), list[str]()
        stream.settimeout(PATIENCE)
        while True:
            try:
                data = self.read(stream)
            except TimeoutError:
                return "nothing"
            except OSError:
                data = b""
            if not data:
                return "closed"
            for kind, body in reader.feed(data):
                if kind == m.Refused.TYPE:
                    return str(body["code"])
                if kind == m.Denied.TYPE:
                    return f"denied {body['code']}"
                if kind == m.Secret.TYPE:
                    given.append(str(body["name"]))
                if kind == m.Sync.TYPE:
                    return f"given {' '.join(given)}" if given else "given nothing"

    # -- peers' door -------------------------------------------------------------------------------------------------

    def leaf(self, role: str, *names: str, **more: Any) -> certs.Leaf:
        return certs.Authority.load(self.identity, role).issue(names, **more)

    def greet(self, leaf: certs.Leaf | None, *messages: dict[str, Any]) -> str:
        """ "closed" if the node hears these messages and hangs up without a word of its own."""
        try:
            with self.tls("peer", self.client(leaf)) as stream:
                stream.sendall(b"".join(map(transport.encode, messages)))
                stream.settimeout(PATIENCE)
                return "let in" if self.read(stream) else "closed"
        except ssl.SSLError as error:
            return f"tls alert: {str(error.reason).lower().replace('_', ' ')}"
        except TimeoutError:
            return "nothing"
        except OSError:
            return "closed"

    def greeting(self, member: str, cluster: str = CLUSTER, version: int = 1) -> dict[str, Any]:
        return {"type": "greeting", "version": version, "member": member, "cluster": cluster, "config": 0}


def said(answer: tuple[int, bytes]) -> str:
    status, body = answer
    try:
        found = json.loads(body)
        return f"{status} {found['code']}"
    except (ValueError, KeyError, TypeError):
        return str(status)


def _answer(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    head, blank, rest = buffer.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"HTTP/1."):
        return None
    headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    size = int(headers.get(b"content-length", b"0"))
    if len(rest) < size:
        return None
    return int(head.split(b" ", 2)[1]), rest[:size], rest[size:]
