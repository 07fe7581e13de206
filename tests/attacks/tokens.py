"""Tokens that are forged, borrowed, old, or made for another door."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from table import Attack
from world import SECRET, World

from statefulset.cli.dev.issuer import SigningKey
from statefulset.cli.dev.programs import ADMIN_AUDIENCE, AUDIENCE


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}.{_b64(signature)}"


def signed(
    world: World, claims: dict[str, Any], header: dict[str, Any] | None = None, key: SigningKey | None = None
) -> str:
    signer = key or world.issuer.key
    headers = {"kid": world.issuer.key.id, **(header or {})}
    return jwt.encode(claims, signer.private, algorithm="RS256", headers=headers)


def confused(world: World, audience: str) -> str:
    """HMAC under the issuer's public key, which everybody has."""
    public = world.issuer.key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = unsigned({"alg": "HS256", "typ": "JWT", "kid": world.issuer.key.id}, world.claims(audience)).rpartition(".")[
        0
    ]
    return f"{head}.{_b64(hmac.new(public, head.encode(), hashlib.sha256).digest())}"


def jwk_header(world: World, audience: str) -> str:
    public = world.own_key.public()
    return signed(world, world.claims(audience), {"kid": public["kid"], "jwk": public}, world.own_key)


def jku_header(world: World, audience: str) -> str:
    header = {"kid": world.own_key.id, "jku": f"{world.issuer.url}/evil.jwks", "x5u": "https://127.0.0.1:1/x"}
    return signed(world, world.claims(audience), header, world.own_key)


def stripped(world: World, audience: str) -> str:
    return signed(world, world.claims(audience)).rpartition(".")[0] + "."


def exchanged(world: World, audience: str) -> str:
    """The content of one token with the signature of another, both genuine."""
    one = signed(world, world.claims(audience))
    other = signed(world, world.claims(audience, sub="system:serviceaccount:demo:web"))
    return f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}"


Maker = Callable[[World, str], str]
FORGED: dict[str, tuple[Maker, str]] = {
    "alg none": (lambda w, a: unsigned({"alg": "none", "kid": w.issuer.key.id}, w.claims(a)), "token_signature"),
    "alg nOnE": (lambda w, a: unsigned({"alg": "nOnE", "kid": w.issuer.key.id}, w.claims(a)), "token_signature"),
    "HMAC under the public key": (confused, "token_signature"),
    "signed by the attacker": (lambda w, a: signed(w, w.claims(a), key=w.own_key), "token_signature"),
    "signature taken off": (stripped, "token_signature"),
    "signature of another token": (exchanged, "token_signature"),
    "kid is a path": (lambda w, a: signed(w, w.claims(a), {"kid": "../../dev/null"}), "token_key_unknown"),
    "kid is SQL": (lambda w, a: signed(w, w.claims(a), {"kid": "x' UNION SELECT 'k"}), "token_key_unknown"),
    "kid of 4 KiB": (lambda w, a: signed(w, w.claims(a), {"kid": "k" * 4096}), "token_malformed"),
    "key in the jwk header": (jwk_header, "token_key_unknown"),
    "key at the jku header": (jku_header, "token_key_unknown"),
    "crit header": (lambda w, a: signed(w, w.claims(a), {"crit": ["exp"]}), "token_malformed"),
    "nested token": (lambda w, a: signed(w, w.claims(a), {"cty": "JWT"}), "token_malformed"),
    "typ of another kind": (lambda w, a: signed(w, w.claims(a), {"typ": "secevent+jwt"}), "token_malformed"),
    "no time of expiry": (lambda w, a: signed(w, w.claims(a, exp=None)), "token_malformed"),
    "expiry is true": (lambda w, a: signed(w, w.claims(a, exp=True)), "token_malformed"),
    "expired": (lambda w, a: signed(w, w.claims(a, exp=int(time.time()) - 60)), "token_expired"),
    "not valid yet": (lambda w, a: signed(w, w.claims(a, nbf=int(time.time()) + 600)), "token_not_yet_valid"),
    "a user's subject": (lambda w, a: signed(w, w.claims(a, sub="admin")), "token_subject"),
    "subject and claims disagree": (
        lambda w, a: signed(w, w.claims(a, sub="system:serviceaccount:raftsafe:admin")), "token_subject",
    ),
}  # fmt: skip


def _delivery(make: Maker) -> Callable[[World], str]:
    return lambda world: world.hello(make(world, AUDIENCE), SECRET)


def _admin(make: Maker) -> Callable[[World], str]:
    return lambda world: world.http("GET", "/v1/status", make(world, ADMIN_AUDIENCE))


def oversized(world: World) -> str:
    return world.http("GET", "/v1/status", signed(world, world.claims(ADMIN_AUDIENCE, pad="x" * 17000)))


def oversized_delivery(world: World) -> str:
    return world.hello(signed(world, world.claims(pad="x" * 11900)), SECRET)


def deleted_pod(world: World) -> str:
    token = world.workload(pod="gone")
    world.issuer.api.delete_pod(world.issuer.pod_uid("bank", "teller", "gone"))
    return world.hello(token, SECRET)


def stolen_for_another_pod(world: World) -> str:
    """A token bound to one pod, shown by another: it names the pod, whatever HELLO says."""
    world.hello(world.workload("demo", "mallory", pod="mallory-1"), pod="teller-1")
    listed = world.cluster.client().read("/v1/sidecars").data
    return "listed as teller-1" if any(one["pod"] == "teller-1" for one in listed) else "not believed"


def replayed_after_revoke(world: World) -> str:
    """A person's rights are taken away; his token stays good, and must open nothing any more."""
    token = world.person("leaver", ("raftsafe-viewer", "bank"))
    assert world.http("GET", f"/v1/secrets/{SECRET}", token) == "200"
    world.issuer.api.unbind("raftsafe-viewer", "system:serviceaccount:people:leaver", "bank")
    deadline = time.monotonic() + 30
    while (got := world.http("GET", f"/v1/secrets/{SECRET}", token)) == "200" and time.monotonic() < deadline:
        time.sleep(0.5)
    return got


ATTACKS = [
    *(Attack(f"token: {name}", "delivery", code, _delivery(make)) for name, (make, code) in FORGED.items()),
    *(Attack(f"token: {name}", "admin", f"401 {code}", _admin(make)) for name, (make, code) in FORGED.items()),
    Attack("token: another issuer", "delivery", "token_issuer",
           lambda w: w.hello(signed(w, w.claims(iss="https://evil.example")), SECRET)),
    Attack("token: another issuer", "admin", "401 token_rejected",
           lambda w: w.http("GET", "/v1/status", signed(w, w.claims(ADMIN_AUDIENCE, iss="https://evil.example")))),
    Attack("token: larger than 16 KiB", "delivery", "token_malformed|closed", oversized_delivery),
    Attack("token: larger than 16 KiB", "admin", "400( .*)?|401 token_malformed|431( .*)?", oversized),
    Attack("token: of a deleted pod", "delivery", "token_revoked", deleted_pod),
    Attack("token: pod name of somebody else", "delivery", "not believed", stolen_for_another_pod),
    Attack("token: rights were revoked", "admin", "403 forbidden", replayed_after_revoke),
    Attack("token: two Authorization headers", "admin", "401 unauthenticated",
           lambda w: w.http("GET", "/v1/status", w.admin, authorization=f"Bearer {w.workload()}")),
    Attack("token: none at all", "admin", "401 unauthenticated", lambda w: w.http("GET", "/v1/status")),
    Attack("token: in the query", "admin", "401 unauthenticated",
           lambda w: w.http("GET", f"/v1/status?access_token={w.admin}")),
    Attack("deputy: workload's token", "admin", "401 token_audience",
           lambda w: w.http("GET", f"/v1/secrets/{SECRET}/value", w.workload())),
    Attack("deputy: admin's token", "delivery", "token_audience", lambda w: w.hello(w.admin, SECRET)),
    Attack("deputy: token for the API server", "admin", "401 token_audience",
           lambda w: w.http("GET", "/v1/status", w.workload(audience="https://kubernetes.default.svc"))),
    Attack("deputy: token for the API server", "delivery", "token_audience",
           lambda w: w.hello(w.workload(audience="https://kubernetes.default.svc"), SECRET)),
    Attack("grant: secret of another namespace", "delivery", "denied not_granted",
           lambda w: w.hello(w.workload("demo", "mallory"), SECRET)),
    Attack("grant: asks for everything", "delivery", "given nothing",
           lambda w: w.hello(w.workload("demo", "mallory"))),
    Attack("grant: account of the same name elsewhere", "delivery", "denied not_granted",
           lambda w: w.hello(w.workload("demo", "teller"), SECRET)),
    Attack("grant: a secret that is not there", "delivery", "denied (not_granted|not_found)",
           lambda w: w.hello(w.workload("demo", "mallory"), "bank/none")),
]  # fmt: skip
