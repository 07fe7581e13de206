from __future__ import annotations

import json
import random
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from statefulset.cli.dev import ports
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.issuer import Issuer, SigningKey


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    made = Issuer(tmp_path / "issuer", ports.choose(1, random.Random()).issuer)
    made.start()
    yield made
    made.stop()


def fetch(issuer: Issuer, path: str) -> Any:
    context = ssl.create_default_context(cafile=str(issuer.ca_file))
    with urllib.request.urlopen(issuer.url + path, context=context, timeout=10) as answer:
        return json.load(answer)


def test_a_token_is_verified_through_discovery_alone(issuer: Issuer) -> None:
    discovered = fetch(issuer, "/.well-known/openid-configuration")
    assert discovered["issuer"] == issuer.url
    keys = jwt.PyJWKSet.from_dict(fetch(issuer, discovered["jwks_uri"].removeprefix(issuer.url)))
    token = issuer.token("demo", "web", audience="raftsafe", pod="web-0")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key.key, algorithms=["RS256"], audience="raftsafe", issuer=issuer.url)
    assert claims["sub"] == "system:serviceaccount:demo:web"
    assert claims["aud"] == ["raftsafe"]
    assert claims["exp"] - claims["iat"] <= 610
    bound = claims["kubernetes.io"]
    assert bound["namespace"] == "demo"
    assert bound["serviceaccount"]["name"] == "web"
    assert bound["pod"]["name"] == "web-0"
    assert bound["pod"]["uid"] != bound["serviceaccount"]["uid"]


def test_an_account_keeps_its_uid_and_no_private_part_is_published(issuer: Issuer) -> None:
    first, second = (
        jwt.decode(issuer.token("demo", "web", audience="a"), options={"verify_signature": False}) for _ in range(2)
    )
    assert first["kubernetes.io"] == second["kubernetes.io"]
    assert "pod" not in first["kubernetes.io"]
    (entry,) = fetch(issuer, "/openid/v1/jwks")["keys"]
    assert set(entry) <= {"kty", "kid", "use", "alg", "n", "e", "key_ops"}


def test_an_expired_token_is_only_expired(issuer: Issuer) -> None:
    token = issuer.token("demo", "web", audience="raftsafe", lifetime=-60)
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(token, issuer.key.private.public_key(), algorithms=["RS256"], audience="raftsafe")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["nbf"] < claims["exp"]


def test_a_forged_token_names_the_true_key(issuer: Issuer) -> None:
    token = issuer.token("demo", "web", audience="raftsafe", key=SigningKey(issuer.key.id))
    assert jwt.get_unverified_header(token)["kid"] == issuer.key.id
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, issuer.key.private.public_key(), algorithms=["RS256"], audience="raftsafe")


def test_two_keys_have_two_ids() -> None:
    assert SigningKey().id != SigningKey().id


def test_unknown_paths_are_not_found_and_its_certificate_is_needed(issuer: Issuer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(issuer, "/token")
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{issuer.url}/openid/v1/jwks", timeout=10)


def test_a_client_that_says_nothing_keeps_nobody_waiting(issuer: Issuer) -> None:
    host, port = issuer.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port))):
        assert fetch(issuer, "/openid/v1/jwks")["keys"]


def test_it_stops_and_its_port_is_free_again(tmp_path: Path) -> None:
    port = ports.choose(1, random.Random()).issuer
    for _ in range(2):
        made = Issuer(tmp_path / "issuer", port)
        made.start()
        fetch(made, "/openid/v1/jwks")
        made.stop()
        made.stop()


def test_a_taken_port_is_told(issuer: Issuer, tmp_path: Path) -> None:
    other = Issuer(tmp_path / "other", int(issuer.url.rsplit(":", 1)[1]))
    with pytest.raises(DevError, match="cannot listen on port"):
        other.start()
    other.stop()


def test_private_keys_are_for_the_owner_alone(issuer: Issuer) -> None:
    folder = issuer.ca_file.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "server.pem").stat().st_mode & 0o777 == 0o600
