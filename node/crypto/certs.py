"""Certificates: two small authorities, short-lived leaves kept in memory, TLS 1.3 contexts.

Why it exists: node-to-node and client-to-node are separate doors. Each has an authority of its own, so a server leaf
never opens the peer door, whatever its names say. Leaves are made at start and renewed in memory; nobody is woken by
an expiry.
What it refuses to do: write a private key to a file (ssl loads files only, so it gets an anonymous one in memory), or
speak anything below TLS 1.3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.errors import Fatal

# An authority outlives the cluster it serves by far; rotating it is a planned act, not an expiry at night.
AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
# A stolen leaf is worth a day; renewal comes at a third of it (node.app), so two days' failures are survived.
LEAF_LIFETIME = datetime.timedelta(hours=24)
# Clocks of machines may differ by minutes.
BACKDATE = datetime.timedelta(minutes=5)
# X.520's bound on a common name. Nothing here reads one: the names that count are in the SAN, so a long one is cut.
_COMMON_NAME = 64


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A certificate with its private key, in memory only."""

    key_pem: bytes = dataclasses.field(repr=False)
    cert_pem: bytes = dataclasses.field(repr=False)
    not_after: datetime.datetime


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: str, issuer: x509.Name, public: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME])])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority(name: str) -> tuple[bytes, bytes]:
    """(private key PEM, certificate PEM) of a new self-signed authority. ECDSA P-256, as everything here: fast, small,
    and understood by every TLS 1.3 peer."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, _named(name), key.public_key(), AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """Issues leaves for one door: "peer" (mutual TLS between nodes) or "server" (what sidecars and admins check)."""

    def __init__(self, role: str, key_pem: bytes, cert_pem: bytes) -> None:
        """Raises Fatal when key and certificate are not one pair, ValueError when they cannot be read."""
        self.role, self.cert_pem = role, cert_pem
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Fatal(f"the {role} CA's key is not an EC key")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(cert_pem)
        if self._certificate.public_key() != key.public_key():
            raise Fatal(
                f"the {role} CA's key and certificate do not belong together",
                hint="restore both from the same backup of the cluster's identity",
            )

    @classmethod
    def load(cls, folder: Path, role: str) -> Authority:
        """From `<folder>/<role>-ca.key` and `.crt`. Raises Fatal naming the file."""
        try:
            key, certificate = (folder / f"{role}-ca.key").read_bytes(), (folder / f"{role}-ca.crt").read_bytes()
        except OSError as error:
            raise Fatal(
                f"the {role} CA in {folder} cannot be read: {error.strerror}",
                hint="restore the Secret with the identity of the cluster",
            ) from None
        try:
            return cls(role, key, certificate)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key is encrypted with a passphrase
            raise Fatal(
                f"the {role} CA in {folder} is not a PEM key and certificate",
                hint="restore the Secret with the identity of the cluster",
            ) from None

    def issue(self, names: Sequence[str], lifetime: datetime.timedelta = LEAF_LIFETIME) -> Leaf:
        """A leaf for DNS names and IP addresses; the first is the common name. A peer leaf may be used at both ends
        of a connection, a server leaf only as a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        if self.role == "peer":
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        certificate = (
            _builder(names[0], self._certificate.subject, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(
            _key_pem(key),
            certificate.public_bytes(serialization.Encoding.PEM),
            certificate.not_valid_after_utc,
        )

    def __repr__(self) -> str:
        return f"Authority({self.role})"


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextlib.contextmanager
def _anonymous_file(data: bytes) -> Iterator[str]:
    """A path that leads to bytes in memory (memfd_create(2)); nothing is left when it closes."""
    handle = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(handle, data)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def renew(context: ssl.SSLContext, leaf: Leaf) -> None:
    """Put a leaf into a context, live: handshakes from now on use it, connections that exist go on."""
    with _anonymous_file(leaf.key_pem + leaf.cert_pem) as path:
        context.load_cert_chain(path)


def server_context(leaf: Leaf, client_ca: bytes | None = None) -> ssl.SSLContext:
    """TLS 1.3 server. With `client_ca` (PEM) a client must show a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Long-lived streams gain nothing from resumption, and each ticket costs memory in every client.
    context.num_tickets = 0
    renew(context, leaf)
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(server_ca: bytes, leaf: Leaf | None = None) -> ssl.SSLContext:
    """TLS 1.3 client that checks the server's certificate and name against `server_ca` (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=server_ca.decode())
    if leaf is not None:
        renew(context, leaf)
    return context
