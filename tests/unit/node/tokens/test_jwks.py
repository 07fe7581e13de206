"""Which published keys may verify anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from node.tokens.jwks import MAX_KEYS, Unusable, is_https, keys_url, origin, parse_keys


def key_set(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_both_kinds(rsa_signer: Any, ec_signer: Any) -> None:
    keys = parse_keys(key_set(rsa_signer.jwk(), ec_signer.jwk()))
    assert {kid: key.algorithm for kid, key in keys.items()} == {"rsa-1": "RS256", "ec-1": "ES256"}
    assert keys["rsa-1"].public == rsa_signer.private.public_key()
    assert keys["ec-1"].public == ec_signer.private.public_key()


@pytest.mark.parametrize("drop", ["use", "alg"])
def test_what_an_entry_may_leave_out(rsa_signer: Any, drop: str) -> None:
    entry = rsa_signer.jwk()
    del entry[drop]
    assert parse_keys(key_set(entry))
    assert parse_keys(key_set({**entry, "key_ops": ["verify"]}))


@pytest.mark.parametrize(
    "change",
    [
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": "k" * 257},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": None},
        {"kty": "EC"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "ES256"},
        {"alg": ["RS256"]},
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"n": None},
        {"n": ""},
        {"n": "!!"},
        {"n": 7},
        {"e": None},
        {"e": ""},
        {"e": "AA"},
        {"e": "Ag"},
        {"e": []},
    ],
)
def test_rsa_entries_that_are_passed_over(rsa_signer: Any, ec_signer: Any, change: dict[str, object]) -> None:
    assert list(parse_keys(key_set(rsa_signer.jwk(**change), ec_signer.jwk()))) == ["ec-1"]


@pytest.mark.parametrize(
    "change",
    [
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": None},
        {"x": "AAAA"},
        {"x": None},
        {"y": "A" * 43},
        {"y": 7},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"kty": "RSA"},
        {"kty": "OKP"},
    ],
)
def test_ec_entries_that_are_passed_over(rsa_signer: Any, ec_signer: Any, change: dict[str, object]) -> None:
    assert list(parse_keys(key_set(rsa_signer.jwk(), ec_signer.jwk(**change)))) == ["rsa-1"]


def test_a_weak_rsa_key_is_passed_over(ec_signer: Any) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    entry = {**RSAAlgorithm.to_jwk(weak, as_dict=True), "kid": "weak", "use": "sig"}
    entry.pop("key_ops")
    assert list(parse_keys(key_set(entry, ec_signer.jwk()))) == ["ec-1"]


def test_another_curve_is_passed_over(rsa_signer: Any) -> None:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    entry = {**ECAlgorithm.to_jwk(public, as_dict=True), "kid": "p384", "use": "sig"}
    assert list(parse_keys(key_set(rsa_signer.jwk(), entry))) == ["rsa-1"]


def test_a_private_part_is_not_built(rsa_signer: Any) -> None:
    entry = {**RSAAlgorithm.to_jwk(rsa_signer.private, as_dict=True), "kid": "rsa-1"}
    entry.pop("key_ops")
    assert parse_keys(key_set(entry))["rsa-1"].public == rsa_signer.private.public_key()


def test_a_key_id_given_twice_is_for_neither(rsa_signer: Any, ec_signer: Any) -> None:
    twice = rsa_signer.jwk(kid="ec-1")
    assert list(parse_keys(key_set(twice, ec_signer.jwk(), rsa_signer.jwk(), twice))) == ["rsa-1"]


def test_how_many(rsa_signer: Any) -> None:
    entries = [rsa_signer.jwk(kid=f"k{n}") for n in range(MAX_KEYS)]
    assert len(parse_keys(key_set(*entries))) == MAX_KEYS
    with pytest.raises(Unusable):
        parse_keys(key_set(*entries, {}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 200_000,
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[1,[],null]}',
    ],
)
def test_no_key_set(data: bytes) -> None:
    with pytest.raises(Unusable):
        parse_keys(data)


def test_the_address_of_the_keys() -> None:
    good = {"issuer": "https://i", "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks", "more": 1}
    assert keys_url(json.dumps(good).encode(), "https://i") == good["jwks_uri"]
    for issuer in ("https://i/", "https://I", ""):
        with pytest.raises(Unusable):
            keys_url(json.dumps(good).encode(), issuer)


@pytest.mark.parametrize(
    "url", [None, 7, "", "http://h/k", "//h/k", "/k", "https:///k", "https://u:p@h/k", "https://h/" + "k" * 2048]
)
def test_an_address_that_is_not_followed(url: object) -> None:
    with pytest.raises(Unusable):
        keys_url(json.dumps({"issuer": "https://i", "jwks_uri": url}).encode(), "https://i")


def test_origins() -> None:
    assert origin("https://h/a") == origin("https://H:443/b") != origin("https://h:8443/a")
    assert is_https("https://[::1]:8443/k")
    assert not is_https("https://h:99999/") and not is_https("https://[::1/") and not is_https("https://h/#f")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"kid": json_values | st.just("k"), "kty": st.sampled_from(["RSA", "EC"]) | json_values},
        optional=dict.fromkeys(("n", "e", "crv", "x", "y", "use", "alg", "key_ops", "d"), json_values),
    )
)
def test_no_entry_breaks_anything(entry: dict[str, object]) -> None:
    with pytest.raises(Unusable):
        parse_keys(key_set(entry))
