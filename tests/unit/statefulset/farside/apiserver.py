"""The HTTPS in front of farside.cluster: paths, tokens, content types, and what a pod needs to find it."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme

from . import websocket
from .cluster import Cluster, Document, Key, Refusal

VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ApiServer:
    found: tuple[Path, dict[str, str]]
    """`tokens`: token -> service account "namespace/name". `logs`: "namespace/pod" -> its log, or the file with it.
    `away`: every request is answered with 503. `issued`: service account -> the token a TokenRequest for it brings;
    `requested`: the audiences asked for. `ports`: where a port of a pod ("namespace/name", port) really leads; one that
    leads nowhere is refused by the pod. `deleted`: (plural, "namespace/name", gracePeriodSeconds) of each deletion."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.tokens: dict[str, str] = {}
        self.logs: dict[str, str | Path] = {}
        self.deleted: list[tuple[str, str, int | None]] = []
        self.issued: dict[str, str] = {}
        self.requested: list[list[str]] = []
        self.ports: dict[tuple[str, int], int] = {}
        self.forwarded: list[tuple[str, str]] = []
        self.away = False
        self._folder = folder
        self._authority = trustme.CA()
        pem = folder / "apiserver.pem"
        self._authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._authority.configure_trust(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def account(self, name: str) -> tuple[Path, dict[str, str]]:
        """The folder of a service account "namespace/name", and the variables the kubelet would set."""
        folder = self._folder / name.replace("/", "-")
        folder.mkdir()
        token = f"token-of-{name.replace('/', '-')}"
        self.tokens[token] = name
        (folder / "token").write_text(token)
        self._authority.cert_pem.write_to_path(str(folder / "ca.crt"))
        port = str(self._server.server_address[1])
        return folder, {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": port,
            "SAFE_ACCOUNT_DIR": str(folder),
        }

    def kubeconfig(self, name: str, user: dict[str, Any], context: str = "test") -> Path:
        """A kubeconfig with one user; as kubectl has them."""
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        url = f"https://127.0.0.1:{self._server.server_address[1]}"
        path = self._folder / name
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": authority}}],
            "users": [{"name": "somebody", "user": user}],
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "somebody", "namespace": "elsewhere"}}],
        }
        path.write_text(json.dumps(document))
        return path

    def certificate(self, account: str) -> dict[str, str]:
        """A user of a kubeconfig who is known by a client certificate."""
        leaf = self._authority.issue_cert("client.invalid", common_name=account)
        chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
        return {
            "client-certificate-data": base64.b64encode(chain).decode(),
            "client-key-data": base64.b64encode(leaf.private_key_pem.bytes()).decode(),
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(
        self, method: str, target: str, token: str, content: str, body: bytes, subject: str | None = None
    ) -> Any:
        """A document, an iterator of events for a watch, or a socket to the port of a pod. `subject`: of the client's
        certificate. Raises Refusal."""
        if self.away:
            raise Refusal(503)
        account = self.tokens.get(token.partition(" ")[2]) if token else subject
        if account is None:
            raise Refusal(401)
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        group, namespace, plural, name, part = _parsed(parts.path)
        verb = VERBS[method]
        if verb == "get" and not name:
            verb = "watch" if query.get("watch") == "true" else "list"
        if plural == "selfsubjectaccessreviews":
            return self._review(account, json.loads(body)["spec"])
        if not self.cluster.allowed(account, verb, group, f"{plural}/{part}" if part else plural, namespace, name):
            raise Refusal(403, f"{account} may not {verb} {plural}")
        if plural == "subjectaccessreviews":
            spec = json.loads(body)["spec"]
            return self._review(spec["user"].removeprefix("system:serviceaccount:").replace(":", "/"), spec)
        if part == "portforward":
            return self._forward(account, f"{namespace}/{name}", int(query["ports"]))
        if part == "token":
            self.requested.append(json.loads(body)["spec"]["audiences"])
            return {"kind": "TokenRequest", "status": {"token": self.issued[f"{namespace}/{name}"]}}
        return self._object(verb, (group, plural, namespace, name), part, query, content, body)

    def _object(self, verb: str, key: Key, part: str, query: dict[str, str], content: str, body: bytes) -> Any:
        group, plural, namespace, _ = key
        selector = query.get("labelSelector", "")
        if verb == "watch":
            return self.cluster.watch(group, plural, namespace, selector, float(query["timeoutSeconds"]))
        if verb == "list":
            found = self.cluster.list(group, plural, namespace, selector, query.get("fieldSelector", ""))
            return _page(found, query)
        if verb == "get" and (plural, part) == ("pods", "log"):
            if (text := self.logs.get(f"{namespace}/{key[3]}")) is None:
                raise Refusal(404)
            text = text.read_text() if isinstance(text, Path) else text
            return text[: int(query.get("limitBytes") or 1 << 20)]
        if verb == "get":
            return self.cluster.get(key)
        if verb == "delete":
            options = json.loads(body or b"{}")
            found = self.cluster.delete(key, (options.get("preconditions") or {}).get("uid", ""))
            self.deleted.append((plural, f"{namespace}/{key[3]}", options.get("gracePeriodSeconds")))
            return found
        document = json.loads(body)
        if verb == "create":
            return self.cluster.create(group, plural, namespace, document)
        if verb == "update":
            return self.cluster.replace(key, document, part)
        if content != "application/merge-patch+json":
            raise Refusal(415, content)
        return self.cluster.patch(key, document, part)

    def _review(self, account: str, spec: dict[str, Any]) -> Document:
        asked = spec["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        where = (asked.get("namespace", ""), asked.get("name", ""))
        allowed = self.cluster.allowed(account, asked["verb"], asked["group"], resource, *where)
        return {"kind": "Review", "status": {"allowed": allowed}}

    def _forward(self, account: str, pod: str, port: int) -> socket.socket | None:
        self.forwarded.append((account, pod))
        if (pod, port) not in self.ports:
            return None
        return socket.create_connection(("127.0.0.1", self.ports[pod, port]), 10)


def _parsed(path: str) -> tuple[str, str, str, str, str]:
    """group, namespace, plural, name, subresource."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "")[:3]
    return group, namespace, plural, name, part


def _page(found: list[Document], query: dict[str, str]) -> Document:
    first, limit = int(query.get("continue") or 0), int(query.get("limit") or 500)
    more = str(first + limit) if first + limit < len(found) else ""
    return {"kind": "List", "metadata": {"continue": more}, "items": found[first : first + limit]}


def _encoded(found: Document | str) -> tuple[str, bytes]:
    """A log is text, all else is a document."""
    return (
        ("text/plain", found.encode()) if isinstance(found, str) else ("application/json", json.dumps(found).encode())
    )


def _handler(api: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30
        disable_nagle_algorithm = True  # or each answer waits 40 ms: headers and body are written one by one
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content, token = self.headers.get("Content-Type") or "", self.headers.get("Authorization") or ""
            shown = dict(pair for part in (self.connection.getpeercert() or {}).get("subject", ()) for pair in part)
            try:
                found = api.answer(self.command, self.path, token, content, body, shown.get("commonName"))
            except Refusal as refusal:
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refusal.code}
                self._document(refusal.code, {**status, "message": str(refusal)})
                return
            if found is None or isinstance(found, socket.socket):
                self.close_connection = True
                websocket.forward(self, found, int(dict(parse_qsl(urlsplit(self.path).query))["ports"]))
            elif isinstance(found, dict | str):
                self._document(201 if self.command == "POST" else 200, found)
            else:
                self._stream(found)

        def _document(self, code: int, document: Document | str) -> None:
            kind, data = _encoded(document)
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, events: Any) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for event in events:
                    if api.away:
                        return
                    if event is not None:
                        line = json.dumps(event).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                return

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler
