"""Real TLS handshakes in memory: who gets in at which door."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from node.crypto.certs import Authority, client_context, renew, server_context
from node.errors import Fatal


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(6):
        for end in (one, two):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    one.write(b"x")
    assert two.read(1) == b"x"
    return one, two


@pytest.fixture
def peer(identity: Path) -> Authority:
    return Authority.load(identity, "peer")


@pytest.fixture
def server(identity: Path) -> Authority:
    return Authority.load(identity, "server")


def test_peers_know_each_other_by_name(peer: Authority) -> None:
    one, two = peer.issue(["safe-0"]), peer.issue(["safe-1"])
    dialer, listener = handshake(server_context(one, peer.cert_pem), client_context(peer.cert_pem, two), "safe-0")
    assert dialer.version() == "TLSv1.3"
    assert ("DNS", "safe-1") in listener.getpeercert()["subjectAltName"]  # type: ignore[index]


def test_a_server_leaf_does_not_open_the_peer_door(peer: Authority, server: Authority) -> None:
    door = server_context(peer.issue(["safe-0"]), peer.cert_pem)
    with pytest.raises(ssl.SSLError):
        handshake(door, client_context(peer.cert_pem, server.issue(["safe-1"])), "safe-0")
    with pytest.raises(ssl.SSLError):
        handshake(door, client_context(peer.cert_pem), "safe-0")


def test_a_wrong_name_is_refused(server: Authority) -> None:
    leaf = server.issue(["safe.raftsafe.svc", "127.0.0.1"])
    handshake(server_context(leaf), client_context(server.cert_pem), "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(leaf), client_context(server.cert_pem), "other.svc")


def test_nothing_below_tls_1_3(server: Authority) -> None:
    old = client_context(server.cert_pem)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(server_context(server.issue(["x"])), old, "x")


def test_a_live_context_takes_a_new_leaf_and_an_expired_one_is_refused(server: Authority) -> None:
    context = server_context(server.issue(["x"], lifetime=datetime.timedelta(seconds=-1)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(context, client_context(server.cert_pem), "x")
    renew(context, server.issue(["x"]))
    handshake(context, client_context(server.cert_pem), "x")


def test_private_keys_show_nowhere(server: Authority) -> None:
    leaf = server.issue(["x"])
    assert "PRIVATE" not in repr(leaf) and "PRIVATE" not in repr(server)


def test_a_missing_authority_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="peer CA"):
        Authority.load(tmp_path, "peer")
