"""What version 1 wrote is still read, and what is written on a stream of version 1 is what version 1 wrote.

The frames are frozen in tests/vectors/wire_v1.json. Real sockets: test_process.py and test_server.py speak them too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError
from sidecar.wire.protocol import ClientProtocol, ServerProtocol, negotiate

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "wire_v1.json").read_text())
CLIENT = {name: bytes.fromhex(text) for name, text in VECTORS["client"].items()}
NODE = {name: bytes.fromhex(text) for name, text in VECTORS["node"].items()}
REPORT = m.Report("db.env: no such field", "HTTP 500", 3, 1, 9000)


def test_the_highest_version_of_both_is_chosen():
    assert negotiate((1,)) == 1 and negotiate((1, 2)) == 2 and negotiate((2, 9)) == 2 and negotiate((9,)) is None


def test_an_old_client_at_a_new_node():
    server = ServerProtocol()
    [hello] = server.receive_data(CLIENT["HELLO"])
    assert hello.versions == (1,)
    assert server.send_welcome(m.Welcome(1, "safe-0", 2, 60_000, False, "a-cluster")) == NODE["WELCOME"]
    assert server.send_secret(m.Secret("shop/db", 1, 2, {"value": b"one"})) == NODE["SECRET"]
    assert server.send_sync(m.Sync(2, False, True)) == NODE["SYNC"]
    [receipt, _, _, bye] = server.receive_data(b"".join(CLIENT[name] for name in ("RECEIPT", "TOKEN", "PONG", "BYE")))
    assert receipt == m.Receipt(2, {"shop/db": 1}, "", 1_700_000_000_000, None), "unknown, not fine"
    assert bye == m.Bye()


def test_a_new_client_at_an_old_node():
    client = ClientProtocol()
    client.send_hello(m.Hello((1, 2), "t", "p", "i", "a"))
    [welcome] = client.receive_data(NODE["WELCOME"])
    assert welcome.cluster == "" and client.version == 1
    assert client.send_receipt(m.Receipt(2, {"shop/db": 1}, "", 1_700_000_000_000, REPORT)) == CLIENT["RECEIPT"]
    later = ("SECRET", "SYNC", "PING", "GONE", "STALE", "DENIED", "REFUSED")
    assert len(client.receive_data(b"".join(NODE[name] for name in later))) == len(later)


def test_an_old_node_says_go_elsewhere():
    client = ClientProtocol()
    client.send_hello(m.Hello((1, 2), "t", "p", "i", "a"))
    client.receive_data(NODE["WELCOME"] + NODE["GOAWAY"])
    assert client.closed()


def greeted(version):
    client, server = ClientProtocol(), ServerProtocol()
    server.receive_data(client.send_hello(m.Hello((1, 2), "t", "p", "i", "a")))
    client.receive_data(server.send_welcome(m.Welcome(version, "n", 1, 1000, False, "c")))
    return client, server


def test_version_2_carries_the_report():
    client, server = greeted(2)
    assert client.version == server.version == 2
    sent = m.Receipt(1, {}, "", 5, REPORT)
    assert server.receive_data(client.send_receipt(sent)) == [sent]


def test_version_2_requires_the_report():
    client, server = greeted(2)
    with pytest.raises(ProtocolError):
        client.send_receipt(m.Receipt(1, {}, "", 5, None))
    with pytest.raises(ProtocolError):
        server.receive_data(CLIENT["RECEIPT"])


def test_version_1_ignores_what_it_does_not_know_of():
    _, server = greeted(1)
    [receipt] = server.receive_data(m.pack(m.Receipt(1, {}, "", 5, REPORT)))
    assert receipt.report is None
