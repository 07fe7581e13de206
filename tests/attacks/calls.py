"""HTTP at the admins' door: paths, sizes, smuggling, replays, and rights that are stretched."""

from __future__ import annotations

import base64
import urllib.parse

from table import Attack
from world import CANARY, SECRET, World, said

from statefulset.cli.sealing import public_key, seal

VALUE = base64.b64encode(b"v").decode()


def path(world: World, target: str, method: str = "GET") -> str:
    return world.http(method, target, world.admin)


def smuggled(world: World, head: bytes, body: bytes) -> str:
    """Statuses of all answers: a request hidden in the body of another must get none of its own."""
    hidden = f"DELETE /v1/secrets/{SECRET} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.admin}\r\n\r\n".encode()
    start = f"PUT /v1/secrets/demo/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.workload()}\r\n".encode()
    answers = world.raw(start + head + b"\r\n" + body + hidden)
    alive = world.http("GET", f"/v1/secrets/{SECRET}", world.admin)
    deleted = (
        b'"deleted": true'
        in world.raw(
            f"GET /v1/secrets/{SECRET} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {world.admin}\r\n\r\n".encode()
        )[0][1]
    )
    if alive != "200" or deleted:
        return "the hidden request was carried out"
    return " ".join(str(status) for status, _ in answers) or "closed"


def compressed(world: World) -> str:
    return world.http("PUT", "/v1/secrets/demo/z", world.admin, b"\x1f\x8b" + bytes(100), Content_Encoding="gzip")


def big_body(world: World) -> str:
    head = f"PUT /v1/secrets/demo/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.admin}\r\nContent-Type: application/json\r\n"
    return said(world.raw(f"{head}Content-Length: 99999999999\r\n\r\n".encode() + b"x" * 1000)[0])


def big_chunks(world: World) -> str:
    head = f"PUT /v1/secrets/demo/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.admin}\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with world.tls("admin") as stream:
        try:
            stream.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(64):
                stream.sendall(chunk)
        except OSError:
            pass  # refused before all of it was sent
        try:
            data = world.read(stream)
        except OSError:
            return "closed"
        return data.split(b" ", 2)[1].decode() if data else "closed"


def fields(world: World) -> str:
    body = {"fields": {f"f{number}": VALUE for number in range(65)}}
    return world.http("PUT", "/v1/secrets/demo/x", world.admin, body)


def grants(world: World) -> str:
    return world.put("demo/x", world.admin, grants=[f"demo/sa-{number}" for number in range(4097)])


def twice(world: World) -> str:
    body = f'{{"fields": {{"value": "{VALUE}"}}, "grants": [], "grants": ["demo/mallory"]}}'.encode()
    return world.http("PUT", "/v1/secrets/demo/x", world.admin, body)


def nested(world: World) -> str:
    return world.http("PUT", "/v1/secrets/demo/x", world.admin, b'{"fields": ' + b"[" * 100_000)


def idempotency_of_another(world: World) -> str:
    """Two people use the same Idempotency-Key: the second must neither see nor swallow the first's change."""
    one, two = (world.person(name, ("raftsafe-editor", "demo")) for name in ("one", "two"))
    key = "the-very-same-key"
    first = world.put("demo/replay", one, b"1", Idempotency_Key=key)
    second = world.put("demo/replay", two, b"2", Idempotency_Key=key)
    version = world.cluster.client().read("/v1/secrets/demo/replay").data["version"]
    return f"{first} {second} version {version}"


def idempotency_of_another_path(world: World) -> str:
    key = "one-key-two-secrets"
    world.put("demo/first", world.admin, b"1", Idempotency_Key=key)
    world.put("demo/second", world.admin, b"2", Idempotency_Key=key)
    version = world.cluster.client().read("/v1/secrets/demo/second").data["version"]
    return f"version {version} of its own"


def idempotency_of_another_body(world: World) -> str:
    """The same key with another value: answered as the first, it would be lost although it was acknowledged."""
    key = "one-key-two-values"
    answers = [world.put("demo/two-values", world.admin, value, Idempotency_Key=key) for value in (b"1", b"2", b"1")]
    version = world.cluster.client().read("/v1/secrets/demo/two-values").data["version"]
    return f"{'; '.join(answers)}; version {version}"


def replayed(world: World) -> str:
    """The very bytes of a change again, through another node."""
    body = {"fields": {"value": VALUE}}
    for node in (0, 1, 2):
        assert world.http("PUT", "/v1/secrets/demo/again", world.admin, body, node=node, Idempotency_Key="k") == "200"
    return f"version {world.cluster.client().read('/v1/secrets/demo/again').data['version']}"


def sealed_elsewhere(world: World) -> str:
    """A value sealed for the bank, declared as a secret of the attacker's, to be delivered to him."""
    key = world.cluster.client().read("/v1/sealing-key").data["key"]
    text = seal(public_key(key), SECRET, {"value": CANARY})["value"]
    body = {"secrets": [{"name": "demo/mine", "sealed": {"value": text}, "grants": ["demo/mallory"]}]}
    return world.http("POST", "/v1/apply", world.person("thief", ("raftsafe-editor", "demo")), body)


def grant_across(world: World) -> str:
    """An editor of demo gives a secret of the bank to a workload of his own."""
    body = {"add": ["demo/mallory"]}
    return world.http("POST", f"/v1/secrets/{SECRET}/grants", world.person("thief", ("raftsafe-editor", "demo")), body)


def apply_across(world: World) -> str:
    body = {"secrets": [{"name": SECRET, "fields": {"value": VALUE}, "grants": ["demo/mallory"]}]}
    return world.http("POST", "/v1/apply", world.person("thief", ("raftsafe-editor", "demo")), body)


def read_back(world: World) -> str:
    return world.http("GET", f"/v1/secrets/{SECRET}/value", world.person("editor", ("raftsafe-editor", "bank")))


def listed(world: World) -> str:
    return world.http("GET", "/v1/secrets", world.person("thief", ("raftsafe-editor", "demo")))


def namespace_twice(world: World) -> str:
    token = world.person("thief", ("raftsafe-editor", "demo"))
    return world.http("GET", "/v1/secrets?namespace=demo&namespace=bank", token)


def resized(world: World) -> str:
    return world.http("PUT", "/v1/members", world.person("thief", ("raftsafe-editor", "demo")), {"size": 1})


def explained(world: World) -> str:
    token = world.person("thief", ("raftsafe-editor", "demo"))
    return world.http("GET", f"/v1/explain/bank/teller?secret={urllib.parse.quote(SECRET, safe='')}", token)


LONG = "a" * 300
FORGED_LINE = 'demo/x%0a{"event":"admin.fake"}'
PATHS = {
    "traversal": ("/v1/secrets/demo/../bank/vault/../../../etc/passwd", "40[04] .*"),
    "encoded traversal": ("/v1/secrets/demo/%2e%2e%2fbank%2fvault", "400 invalid"),
    "encoded slash": ("/v1/secrets/demo%2fx/y", "400 invalid"),
    "doubly encoded": ("/v1/secrets/demo/%252e%252e", "400 invalid"),
    "NUL": ("/v1/secrets/demo/x%00y", "400 invalid"),
    "fullwidth letters": ("/v1/secrets/demo/%EF%BD%81", "400 invalid"),
    "overlong UTF-8": ("/v1/secrets/demo/%c0%ae%c0%ae", "400 invalid"),
    "capital letters": ("/v1/secrets/Demo/X", "400 invalid"),
    "name of 300": (f"/v1/secrets/demo/{LONG}", "400 invalid"),
    "request line of 8 KiB": (f"/v1/secrets/demo/{'a' * 8192}", "400( .*)?|414( .*)?|closed"),
    "a line for the audit log": (f"/v1/secrets/{FORGED_LINE}", "40[04] .*"),
    "two dots inside": ("/v1/secrets/demo/a..b", "400 invalid"),
    "absolute URL": (f"http://localhost/v1/secrets/{SECRET}%2f..", "40[04] .*"),
}
CL_TE = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
ATTACKS = [
    *(Attack(f"path: {name}", "admin", expected, lambda w, target=target: path(w, target))
      for name, (target, expected) in PATHS.items()),
    Attack("method: TRACE", "admin", "405 .*|400.*|501.*", lambda w: path(w, "/v1/status", "TRACE")),
    Attack("method: CONNECT", "admin", "40[045].*|501.*|closed", lambda w: path(w, "127.0.0.1:22", "CONNECT")),
    Attack("method: overridden by a header", "admin", "200",
           lambda w: w.http("GET", f"/v1/secrets/{SECRET}", w.admin, X_HTTP_Method_Override="DELETE")),
    Attack("size: body of 100 GB", "admin", "413 too_large", big_body),
    Attack("size: endless chunks", "admin", "413|closed", big_chunks),
    Attack("size: header of 64 KiB", "admin", "400.*|431.*|closed",
           lambda w: w.http("GET", "/v1/status", w.admin, X_Pad="x" * 65536)),
    Attack("size: 65 fields", "admin", "413 too_large", fields),
    Attack("size: 4097 grants", "admin", "413 too_large|400 invalid", grants),
    Attack("size: value over 1 MiB", "admin", "413 too_large", lambda w: w.put("demo/x", w.admin, bytes((1 << 20) + 1))),
    Attack("size: JSON nested 100 000 deep", "admin", "400 invalid", nested),
    Attack("body: compressed", "admin", "400 invalid|415.*", compressed),
    Attack("body: a key twice", "admin", "400 invalid", twice),
    Attack("smuggling: length and chunked", "admin", "400|closed", lambda w: smuggled(w, CL_TE, b"0\r\n\r\n")),
    Attack("smuggling: two lengths", "admin", "400|closed",
           lambda w: smuggled(w, b"Content-Length: 0\r\nContent-Length: 44\r\n", b"")),
    Attack("smuggling: length with a sign", "admin", "400|closed", lambda w: smuggled(w, b"Content-Length: +0\r\n", b"")),
    Attack("smuggling: chunked, spelled oddly", "admin", "400|501|closed",
           lambda w: smuggled(w, b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    Attack("smuggling: space before the colon", "admin", "400|closed",
           lambda w: smuggled(w, b"Content-Length : 0\r\n", b"")),
    Attack("replay: key of another person", "admin", "200 200 version 2", idempotency_of_another),
    Attack("replay: key for another secret", "admin", "version 1 of its own", idempotency_of_another_path),
    Attack("replay: key for another value", "admin", "200; 422 key_reused; 200; version 1", idempotency_of_another_body),
    Attack("replay: a change through all nodes", "admin", "version 1", replayed),
    Attack("rights: sealed value under another name", "admin", "400 (invalid|sealed)|409 .*", sealed_elsewhere),
    Attack("rights: grant across namespaces", "admin", "403 forbidden", grant_across),
    Attack("rights: apply across namespaces", "admin", "403 forbidden", apply_across),
    Attack("rights: an editor reads a value", "admin", "403 forbidden", read_back),
    Attack("rights: list everywhere", "admin", "403 forbidden", listed),
    Attack("rights: two namespaces in a query", "admin", "403 forbidden|400 invalid", namespace_twice),
    Attack("rights: scale the cluster", "admin", "403 forbidden", resized),
    Attack("rights: explain another namespace", "admin", "403 forbidden|400 invalid", explained),
]  # fmt: skip
