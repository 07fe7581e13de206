from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from node.crypto.serving import answer, filter_text
from node.errors import Fatal, Rejected


def handshake(tmp_path: Path, made: dict, name: str) -> None:
    """A real TLS handshake in memory: the client trusts the authority and asks for `name`."""
    (tmp_path / "leaf.pem").write_text(made["key"] + made["certificate"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf.pem")
    client = ssl.create_default_context(cadata=made["authority"]["certificate"])
    a_in, a_out, b_in, b_out = (ssl.MemoryBIO() for _ in range(4))
    one = client.wrap_bio(a_in, a_out, server_hostname=name)
    two = server.wrap_bio(b_in, b_out, server_side=True)
    for _ in range(4):
        for side, out, into in ((one, a_out, b_in), (two, b_out, a_in)):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            into.write(out.read())
    assert one.version() == "TLSv1.3"


def test_a_new_authority_and_a_leaf_that_is_accepted(tmp_path: Path) -> None:
    made = answer({"names": ["safe-control.raftsafe.svc", "localhost"]})
    handshake(tmp_path, made, "safe-control.raftsafe.svc")
    handshake(tmp_path, made, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, made, "elsewhere")


def test_a_kept_authority_signs_the_next_one(tmp_path: Path) -> None:
    first = answer({"names": ["a.b"]})
    second = answer({"names": ["a.b"], "authority": first["authority"]})
    assert second["authority"] == first["authority"] and second["certificate"] != first["certificate"]
    handshake(tmp_path, second, "a.b")
    leaf = x509.load_pem_x509_certificate(second["certificate"].encode())
    assert int(leaf.not_valid_after_utc.timestamp()) == second["not_after"]


@pytest.mark.parametrize(
    "asked", [{}, {"names": []}, {"names": [7]}, {"names": ["a"], "authority": {}}, {"names": ["a"], "authority": 7}]
)
def test_what_cannot_be_answered(asked: dict) -> None:
    with pytest.raises(Rejected):
        answer(asked)


def test_an_authority_that_is_no_pair() -> None:
    one, two = (answer({"names": ["a"]})["authority"] for _ in range(2))
    with pytest.raises(Fatal, match="do not belong together"):
        answer({"names": ["a"], "authority": {"key": one["key"], "certificate": two["certificate"]}})


def test_no_key_in_a_message() -> None:
    with pytest.raises(Rejected) as caught:
        filter_text("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in str(caught.value)


def test_as_a_process() -> None:
    command = [sys.executable, "-m", "node", "serving-certificate"]
    done = subprocess.run(command, input='{"names": ["localhost"]}', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    wrong = subprocess.run(command, input="nonsense", capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "not a JSON object" in wrong.stderr and wrong.stdout == ""
