"""Real TLS handshakes in memory: who gets in at which door."""

from __future__ import annotations

import datetime
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from node.crypto.certs import Authority, client_context, new_authority, renew, server_context
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


def test_a_leaf_of_the_other_authority_is_not_believed(peer: Authority, server: Authority) -> None:
    impostor = server_context(server.issue(["safe-0"]), peer.cert_pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(impostor, client_context(peer.cert_pem, peer.issue(["safe-1"])), "safe-0")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(peer.issue(["safe-0"])), client_context(server.cert_pem), "safe-0")


def test_a_server_leaf_is_no_client_even_under_its_own_authority(server: Authority) -> None:
    door = server_context(server.issue(["x"]), server.cert_pem)
    with pytest.raises(ssl.SSLError):
        handshake(door, client_context(server.cert_pem, server.issue(["y"])), "x")


def test_another_cluster_is_another_authority(peer: Authority) -> None:
    other = Authority("peer", *new_authority("c1 peer CA"))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            server_context(other.issue(["safe-0"]), other.cert_pem),
            client_context(peer.cert_pem, peer.issue(["safe-1"])),
            "safe-0",
        )


def test_certificates_pass_the_strictest_checks_of_openssl(server: Authority) -> None:
    client = client_context(server.cert_pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server_context(server.issue(["safe-0", "::1", "10.0.0.1"])), client, "::1")


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
    ancient = server_context(server.issue(["x"]))
    ancient.minimum_version = ssl.TLSVersion.TLSv1_2
    ancient.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(ancient, client_context(server.cert_pem), "x")


def test_a_live_context_takes_a_new_leaf_and_an_expired_one_is_refused(server: Authority) -> None:
    context = server_context(server.issue(["x"], lifetime=datetime.timedelta(seconds=-1)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(context, client_context(server.cert_pem), "x")
    renew(context, server.issue(["x"]))
    handshake(context, client_context(server.cert_pem), "x")


def test_connections_from_before_a_renewal_go_on(server: Authority) -> None:
    context, client = server_context(server.issue(["x"])), client_context(server.cert_pem)
    here, there = handshake(context, client, "x")
    first = here.getpeercert(binary_form=True)
    renew(context, server.issue(["x"]))
    there.write(b"still here")
    assert here.read(20) == b"still here"
    assert handshake(context, client, "x")[0].getpeercert(binary_form=True) != first


def test_a_leaf_lives_a_day_and_began_five_minutes_ago(server: Authority) -> None:
    leaf = server.issue(["x"])
    certificate = x509.load_pem_x509_certificate(leaf.cert_pem)
    assert leaf.not_after == certificate.not_valid_after_utc
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == datetime.timedelta(hours=24, minutes=5)


def test_renewal_works_without_root_and_with_the_process_closed_to_debuggers(identity: Path) -> None:
    # A node makes itself undumpable, which gives much of its /proc entry to root; and its root file system is read
    # only. The leaf must reach OpenSSL all the same, and leave no open file behind.
    code = (
        "import ctypes, os, sys\n"
        "from pathlib import Path\n"
        "from node.crypto.certs import Authority, renew, server_context\n"
        "authority = Authority.load(Path(sys.argv[1]), 'server')\n"
        "server_context(authority.issue(['x']))  # imports what it needs while it may read the interpreter's folder\n"
        "if os.getuid() == 0: os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0\n"
        "context = server_context(authority.issue(['x']), authority.cert_pem)\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "for _ in range(3): renew(context, authority.issue(['x']))\n"
        "assert len(os.listdir('/proc/self/fd')) == before\n"
        "print('renewed as', os.getuid())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(identity)], capture_output=True, text=True)
    assert done.stdout.startswith("renewed as"), done.stderr


def test_private_keys_show_nowhere(server: Authority) -> None:
    leaf = server.issue(["x"])
    assert "PRIVATE" not in repr(leaf) and "PRIVATE" not in repr(server)
    assert b"PRIVATE" in leaf.key_pem


def test_a_missing_authority_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="peer CA"):
        Authority.load(tmp_path, "peer")


@pytest.mark.parametrize("role", ["peer", "server"])
def test_a_damaged_authority_says_what_to_restore(identity: Path, role: str) -> None:
    certificate = identity / f"{role}-ca.crt"
    whole = certificate.read_bytes()
    certificate.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Fatal, match=f"{role} CA in .* is not a PEM") as caught:
        Authority.load(identity, role)
    assert "restore the Secret" in caught.value.hint


def test_a_key_and_a_certificate_of_two_authorities(identity: Path) -> None:
    (identity / "peer-ca.crt").write_bytes((identity / "server-ca.crt").read_bytes())
    with pytest.raises(Fatal, match="do not belong together") as caught:
        Authority.load(identity, "peer")
    assert "same backup" in caught.value.hint


def test_a_key_of_another_kind_is_refused_without_showing_it(identity: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (identity / "peer-ca.key").write_bytes(key.private_bytes(*plain, serialization.NoEncryption()))
    with pytest.raises(Fatal, match="not an EC key"):
        Authority.load(identity, "peer")
    (identity / "peer-ca.key").write_bytes(key.private_bytes(*plain, serialization.BestAvailableEncryption(b"pass")))
    with pytest.raises(Fatal, match="not a PEM key") as caught:
        Authority.load(identity, "peer")
    assert "PRIVATE" not in repr(caught.value)
