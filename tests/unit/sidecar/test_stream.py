"""One connection: how TLS is set up, and how a failure is told."""

from __future__ import annotations

import os
import socket
import ssl

import pytest
import trustme

from sidecar import stream
from sidecar.credential import CredentialError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer"),
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (ssl.SSLError(1, "x"), "TLS failed"),
        (ConnectionAbortedError("SSL handshake is taking longer than 5.0 seconds"), "handshake took too long"),
        (ConnectionResetError(), "closed the connection"),
        (ValueError("canary"), "ValueError"),
    ],
)
def test_errors_are_explained_in_words(error, words):
    assert words in stream.explain(error) and "canary" not in stream.explain(error)


def test_tls_is_of_today_and_checks_names(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = stream.Trust(str(path)).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    assert context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="safe-0").server_hostname == "safe-0"


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_a_ca_file_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CredentialError, match=r"ca\.pem cannot be used"):
        stream.Trust(str(path)).context()


def test_a_context_is_made_once_for_each_content_of_the_ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    trust = stream.Trust(str(path))
    first = trust.context()
    assert trust.context() is first
    other = trustme.CA(key_type=trustme.KeyType.ECDSA)
    stamp = path.stat()
    path.write_bytes("# Zürich\n".encode() + other.cert_pem.bytes())
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the content counts, not its time
    second = trust.context()
    assert second is not first and second.cert_store_stats()["x509_ca"] == 1
    path.write_text("half a")
    with pytest.raises(CredentialError):
        trust.context()
    authority.cert_pem.write_to_path(str(path))
    assert trust.context().get_ca_certs() == first.get_ca_certs()
