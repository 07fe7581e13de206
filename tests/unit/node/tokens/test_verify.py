"""Every refusal has its own code, and no way around the signature is open."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.errors import Fatal, Rejected, Retry
from node.tokens.keys import KeySet
from node.tokens.verify import LEEWAY, MAX_TOKEN, Identity, Verifier

NOW = 1_800_000_000


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def refusal(verifier: Verifier, token: str) -> str:
    """The code of the refusal, once it is known to be fit to be shown and to hold nothing of the token."""
    with pytest.raises(Rejected) as caught:
        await verifier.verify(token)
    error = caught.value
    assert error.message and error.hint
    for part in token.split("."):
        assert len(part) < 8 or part not in error.message + error.hint
    assert error.__cause__ is None and error.__context__ is None
    return error.code


@pytest.mark.parametrize("signer", ["rsa_signer", "ec_signer"])
async def test_a_projected_token_is_an_identity(
    verifier: Verifier, issuer: Any, signer: str, request: pytest.FixtureRequest
) -> None:
    token = request.getfixturevalue(signer).sign(issuer.claims())
    assert await verifier.verify(token) == Identity("shop", "web", "web-0", NOW + 600, "system:serviceaccount:shop:web")


async def test_what_a_token_may_leave_out(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    bare = issuer.claims(aud="raftsafe", iat=None, nbf=None, **{"kubernetes.io": None})
    identity = await verifier.verify(rsa_signer.sign(bare, typ="JWT"))
    assert identity.pod is None and identity.serviceaccount == "web"
    unbound = issuer.claims(**{"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web"}}})
    assert (await verifier.verify(rsa_signer.sign(unbound))).pod is None


async def test_a_service_account_may_have_dots(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    claims = issuer.claims(sub="system:serviceaccount:shop:web.v1", **{"kubernetes.io": None})
    assert (await verifier.verify(rsa_signer.sign(claims))).serviceaccount == "web.v1"


async def test_one_audience_of_several(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    assert await verifier.verify(rsa_signer.sign(issuer.claims(aud=["other", "raftsafe"])))


@pytest.mark.parametrize(
    "audience", ["other", ["other"], [], None, 7, {"raftsafe": 1}, "raftsafe-admin", [["raftsafe"]]]
)
async def test_another_audience(verifier: Verifier, issuer: Any, rsa_signer: Any, audience: object) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(aud=audience))) == "token_audience"


@pytest.mark.parametrize("name", ["https://elsewhere.example", None, 7, ["x"]])
async def test_another_issuer(verifier: Verifier, issuer: Any, rsa_signer: Any, name: object) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(iss=name))) == "token_issuer"


async def test_times_follow_the_nodes_clock(verifier: Verifier, issuer: Any, rsa_signer: Any, clock: Any) -> None:
    token = rsa_signer.sign(issuer.claims())
    end = NOW + 600 + LEEWAY
    clock.wall = int(end * 1000) - 1
    assert await verifier.verify(token)
    clock.wall = int(end * 1000)
    assert await refusal(verifier, token) == "token_expired"
    clock.wall = int((NOW - LEEWAY) * 1000)
    assert await verifier.verify(token)
    clock.wall -= 1
    assert await refusal(verifier, token) == "token_not_yet_valid"


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_each_of_the_two_beginnings(verifier: Verifier, issuer: Any, rsa_signer: Any, name: str) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(**{name: NOW + 60}))) == "token_not_yet_valid"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "-1", '"1900000000"', "true", "null", "1" + "0" * 400])
async def test_a_time_that_is_none(verifier: Verifier, issuer: Any, rsa_signer: Any, name: str, value: str) -> None:
    payload = json.dumps({**issuer.claims(), name: "@"}).replace('"@"', value).encode()
    assert await refusal(verifier, rsa_signer.sign(payload)) == "token_malformed"


async def test_a_token_without_an_end(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(exp=None))) == "token_malformed"


@pytest.mark.parametrize(
    "subject",
    [
        None,
        7,
        "",
        "alice",
        "system:node:n1",
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount::web",
        "system:serviceaccount:shop:web:more",
        "system:serviceaccount:*:web",
        "system:serviceaccount:shop:*",
        "system:serviceaccount:shop:we..b",
        "system:serviceaccount:shop:web\n",
        "system:serviceaccount:Shop:web",
        "system:serviceaccount:sh.op:web",
        f"system:serviceaccount:{'s' * 64}:web",
        f"system:serviceaccount:shop:{'w' * 254}",
    ],
)
async def test_not_a_service_account(verifier: Verifier, issuer: Any, rsa_signer: Any, subject: object) -> None:
    claims = issuer.claims(sub=subject, **{"kubernetes.io": None})
    assert await refusal(verifier, rsa_signer.sign(claims)) == "token_subject"


@pytest.mark.parametrize(
    "bound",
    [
        [],
        "shop",
        {},
        {"namespace": "shop"},
        {"serviceaccount": {"name": "web"}},
        {"namespace": "bank", "serviceaccount": {"name": "web"}},
        {"namespace": "shop", "serviceaccount": {"name": "root"}},
        {"namespace": "shop", "serviceaccount": "web"},
        {"namespace": "shop", "serviceaccount": {"name": ["web"]}},
        {"namespace": "shop", "serviceaccount": {"name": "web"}, "pod": {}},
        {"namespace": "shop", "serviceaccount": {"name": "web"}, "pod": {"name": 7}},
        {"namespace": "shop", "serviceaccount": {"name": "web"}, "pod": {"name": "../x"}},
        {"namespace": "shop", "serviceaccount": {"name": "web"}, "pod": None},
    ],
)
async def test_claims_that_disagree(verifier: Verifier, issuer: Any, rsa_signer: Any, bound: object) -> None:
    claims = {**issuer.claims(), "kubernetes.io": bound}
    assert await refusal(verifier, rsa_signer.sign(claims)) == "token_subject"


async def test_a_null_binding_is_no_binding(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    assert await refusal(verifier, rsa_signer.sign({**issuer.claims(), "kubernetes.io": None})) == "token_subject"


async def test_another_key_under_a_known_id(verifier: Verifier, issuer: Any, other_rsa: Any) -> None:
    assert await refusal(verifier, other_rsa.sign(issuer.claims())) == "token_signature"


async def test_an_unknown_key_id(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(), kid="rsa-9")) == "token_key_unknown"


async def test_no_part_may_be_changed(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    header, _, signature = rsa_signer.sign(issuer.claims()).split(".")
    forged = b64(json.dumps(issuer.claims(sub="system:serviceaccount:shop:root")).encode())
    assert await refusal(verifier, f"{header}.{forged}.{signature}") == "token_signature"


async def test_a_wrong_signature_is_said_before_anything_about_the_content(
    verifier: Verifier, issuer: Any, other_rsa: Any
) -> None:
    claims = issuer.claims(exp=1, aud="x", iss="x", sub="x")
    assert await refusal(verifier, other_rsa.sign(claims)) == "token_signature"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_hmac_with_the_public_key_as_secret(
    verifier: Verifier, issuer: Any, rsa_signer: Any, algorithm: str, encoding: Encoding
) -> None:
    secret = rsa_signer.private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    signing = (
        b64(json.dumps({"alg": algorithm, "kid": "rsa-1"}).encode()) + "." + b64(json.dumps(issuer.claims()).encode())
    )
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    mac = hmac.new(secret, signing.encode(), digest).digest()
    assert await refusal(verifier, f"{signing}.{b64(mac)}") == "token_signature"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "rs256", "RS512", "PS256", "ES384", "EdDSA", "ES256K"]
)
async def test_other_algorithms(verifier: Verifier, issuer: Any, rsa_signer: Any, algorithm: str) -> None:
    token = rsa_signer.sign(issuer.claims(), alg=algorithm)
    assert await refusal(verifier, token) == "token_signature"
    assert await refusal(verifier, token.rpartition(".")[0] + ".") == "token_signature"


async def test_the_algorithm_is_the_keys(verifier: Verifier, issuer: Any, rsa_signer: Any, ec_signer: Any) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(), kid="ec-1")) == "token_signature"
    assert await refusal(verifier, ec_signer.sign(issuer.claims(), kid="rsa-1")) == "token_signature"
    assert await refusal(verifier, ec_signer.sign(issuer.claims(), alg="RS256")) == "token_signature"


async def test_keys_in_the_token_are_of_no_effect(verifier: Verifier, issuer: Any, other_rsa: Any) -> None:
    evil = issuer.url + "/evil"
    headers: list[dict[str, Any]] = [{"jwk": other_rsa.jwk()}, {"jku": evil}, {"x5u": evil}, {"x5c": []}]
    for header in headers:
        assert await refusal(verifier, other_rsa.sign(issuer.claims(), **header)) == "token_signature"
    assert not [path for path, _ in issuer.asked if "evil" in path]


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "JWE"},
        {"typ": 7},
        {"typ": None},
        {"cty": "JWT"},
        {"cty": None},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"enc": "A256GCM"},
        {"alg": None},
        {"alg": 7},
        {"alg": ["RS256"]},
        {"kid": None},
        {"kid": 7},
        {"kid": ""},
        {"kid": "k" * 257},
    ],
)
async def test_headers_that_are_refused(
    verifier: Verifier, issuer: Any, rsa_signer: Any, header: dict[str, object]
) -> None:
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(), **header)) == "token_malformed"
    assert issuer.asked == []


@pytest.mark.parametrize("missing", ["alg", "kid"])
async def test_headers_that_are_missing(verifier: Verifier, issuer: Any, rsa_signer: Any, missing: str) -> None:
    header = {"alg": "RS256", "kid": "rsa-1"}
    del header[missing]
    token = rsa_signer.sign_raw(header, json.dumps(issuer.claims()).encode())
    assert await refusal(verifier, token) == "token_malformed"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800.a.b",
        "bm90IGpzb24.e30.AAAA",
        b64(b"[]") + ".e30.AAAA",
        b64(b"\xff\xfe") + ".e30.AAAA",
        b64(b"[" * 9000) + ".e30.AAAA",
        b64(b'{"alg":' + b"9" * 5000 + b"}") + ".e30.AAAA",
        "!!!!.e30.AAAA",
    ],
)
async def test_not_a_token(verifier: Verifier, issuer: Any, token: str) -> None:
    assert await refusal(verifier, token) == "token_malformed"
    assert issuer.asked == []


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"null", b"\xff", b"{", b"[" * 9000])
async def test_content_that_is_no_object(verifier: Verifier, rsa_signer: Any, payload: bytes) -> None:
    assert await refusal(verifier, rsa_signer.sign(payload)) == "token_malformed"


async def test_a_nested_token(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    inner = rsa_signer.sign(issuer.claims())
    assert await refusal(verifier, rsa_signer.sign(inner.encode(), cty="JWT")) == "token_malformed"
    assert await refusal(verifier, rsa_signer.sign(inner.encode())) == "token_malformed"


async def test_size(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    assert await verifier.verify(rsa_signer.sign(issuer.claims(pad="x" * 8000)))
    large = rsa_signer.sign(issuer.claims(pad="x" * MAX_TOKEN))
    assert await refusal(verifier, large) == "token_malformed"


async def test_the_issuer_is_away_from_the_beginning(verifier: Verifier, issuer: Any, rsa_signer: Any) -> None:
    await issuer.down()
    with pytest.raises(Retry) as caught:
        await verifier.verify(rsa_signer.sign(issuer.claims()))
    assert caught.value.code == "unavailable" and caught.value.hint


async def test_the_issuer_goes_away(verifier: Verifier, issuer: Any, rsa_signer: Any, clock: Any) -> None:
    token = rsa_signer.sign(issuer.claims(exp=NOW + 86_400))
    assert await verifier.verify(token)
    await issuer.down()
    clock.monotonic += 3600
    clock.wall += 3_600_000
    assert await verifier.verify(token)
    assert await refusal(verifier, rsa_signer.sign(issuer.claims(), kid="rsa-9")) == "token_key_unknown"
    assert await verifier.verify(token)


@pytest.mark.parametrize(("issuer_name", "audience"), [("", "raftsafe"), ("https://i", "")])
async def test_a_verifier_for_nobody(keys: KeySet, clock: Any, issuer_name: str, audience: str) -> None:
    with pytest.raises(Fatal):
        Verifier(keys, issuer_name, audience, clock)


async def test_a_signature_is_checked_once_while_token_and_key_last(
    verifier: Verifier, issuer: Any, rsa_signer: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    original = Verifier._payload

    def payload(self: Verifier, token: str, algorithm: str, key: Any) -> bytes:
        checked.append(token)
        return original(self, token, algorithm, key)

    monkeypatch.setattr(Verifier, "_payload", payload)
    token = rsa_signer.sign(issuer.claims())
    identities = {await verifier.verify(token) for _ in range(3)}
    assert len(identities) == 1 and len(checked) == 1
    with pytest.raises(Rejected):
        await verifier.verify(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"))
    clock.wall = int(identities.pop().expires * 1000) + 60_000
    with pytest.raises(Rejected) as caught:
        await verifier.verify(token)
    assert caught.value.code == "token_expired"


async def test_a_withdrawn_key_ends_what_was_verified_with_it(
    verifier: Verifier, issuer: Any, rsa_signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = rsa_signer.sign(issuer.claims())
    await verifier.verify(token)

    async def withdrawn(kid: str) -> None:
        return None

    monkeypatch.setattr(verifier._keys, "get", withdrawn)
    with pytest.raises(Rejected) as caught:
        await verifier.verify(token)
    assert caught.value.code == "token_key_unknown"


async def test_what_is_remembered_is_bounded(
    verifier: Verifier, issuer: Any, ec_signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.tokens.verify.REMEMBERED", 3)
    for _ in range(6):
        await verifier.verify(ec_signer.sign(issuer.claims()))
    assert len(verifier._verified) == 3
