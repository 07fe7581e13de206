"""The order of the conversation, from both ends."""

from __future__ import annotations

import pytest

from sidecar.wire import frames
from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError
from sidecar.wire.protocol import ClientProtocol, ServerProtocol, State, negotiate

HELLO = m.Hello((1, 2), "t", "p", "i", "a")
WELCOME = m.Welcome(2, "n", 5, 2000, False, "c")


def greeted():
    client, server = ClientProtocol(), ServerProtocol()
    server.receive_data(client.send_hello(HELLO))
    client.receive_data(server.send_welcome(WELCOME))
    return client, server


def test_a_whole_conversation():
    client, server = ClientProtocol(), ServerProtocol()
    assert server.receive_data(client.send_hello(HELLO)) == [HELLO]
    assert server.hello == HELLO and server.state is State.OPEN
    assert client.receive_data(server.send_welcome(WELCOME)) == [WELCOME]
    secret, sync = m.Secret("a/b", 1, 4, {"value": b"x"}), m.Sync(5, False, True)
    data = (
        server.send_secret(secret, m.pack(secret)) + server.send_gone(m.Gone("a/c", "deleted")) + server.send_sync(sync)
    )
    assert client.receive_data(data) == [secret, m.Gone("a/c", "deleted"), sync]
    receipt = m.Receipt(5, {"a/b": 1}, "", 1, m.Report(notified=2))
    assert server.receive_data(client.send_receipt(receipt) + client.send_token(m.Token("u"))) == [
        receipt,
        m.Token("u"),
    ]
    assert client.receive_data(server.send_ping(m.Ping(1)) + server.send_stale(m.Stale(True))) == [
        m.Ping(1),
        m.Stale(True),
    ]
    assert server.receive_data(client.send_pong(m.Pong(1)) + client.send_ping(m.Ping(2))) == [m.Pong(1), m.Ping(2)]
    denied = m.Denied("a/d", "not_granted", "no")
    assert client.receive_data(server.send_denied(denied) + server.send_pong(m.Pong(2))) == [denied, m.Pong(2)]
    assert server.receive_data(client.send_bye()) == [m.Bye()]
    assert client.closed() and server.closed()


def test_the_highest_common_version_is_taken():
    assert negotiate([1]) == 1 and negotiate([7, 1, 2, 3]) == 2
    assert negotiate([]) is None and negotiate([3, 4]) is None


def test_refused_ends_both():
    client, server = ClientProtocol(), ServerProtocol()
    server.receive_data(client.send_hello(HELLO))
    refused = m.Refused("version", "no common version")
    assert client.receive_data(server.send_refused(refused)) == [refused]
    assert client.closed() and server.closed()


def test_goaway_ends_both_and_what_crosses_it_is_dropped():
    client, server = greeted()
    crossing = client.send_receipt(m.Receipt(5, {}, "", 1))
    assert client.receive_data(server.send_goaway(m.Goaway("stop", 1))) == [m.Goaway("stop", 1)]
    assert server.receive_data(crossing) == []
    assert client.send_bye() == b""


def test_what_follows_a_goodbye_in_the_same_bytes_is_dropped():
    client, server = greeted()
    ping = client.send_ping(m.Ping(1))
    assert server.receive_data(client.send_bye() + ping) == [m.Bye()]


@pytest.mark.parametrize("message", [m.Ping(1), m.Receipt(0, {}, "", 0), m.Token("t"), m.Bye(), m.Pong(1)])
def test_a_client_begins_with_hello(message):
    server = ServerProtocol()
    with pytest.raises(ProtocolError):
        server.receive_data(m.pack(message))
    assert server.closed() and server.receive_data(m.pack(HELLO)) == []


@pytest.mark.parametrize("message", [HELLO, m.Ping(1), m.Receipt(0, {}, "", 0), m.Token("t")])
def test_between_hello_and_welcome_a_client_waits(message):
    server = ServerProtocol()
    server.receive_data(m.pack(HELLO))
    with pytest.raises(ProtocolError):
        server.receive_data(m.pack(message))


def test_between_hello_and_welcome_a_client_may_leave():
    server = ServerProtocol()
    assert server.receive_data(m.pack(HELLO) + m.pack(m.Bye())) == [HELLO, m.Bye()]
    with pytest.raises(ProtocolError):
        server.send_welcome(WELCOME)


@pytest.mark.parametrize(
    "message",
    [
        m.Ping(1),
        m.Sync(1, False, True),
        m.Secret("a/b", 1, 1, {"value": b""}),
        m.Goaway("x", 1),
        m.Gone("a/b", "deleted"),
    ],
)
def test_a_node_begins_with_welcome_or_refused(message):
    client = ClientProtocol()
    client.send_hello(HELLO)
    with pytest.raises(ProtocolError):
        client.receive_data(m.pack(message))
    assert client.closed()


def test_nobody_is_welcomed_unasked_or_twice():
    with pytest.raises(ProtocolError):
        ClientProtocol().receive_data(m.pack(WELCOME))
    client, _ = greeted()
    with pytest.raises(ProtocolError):
        client.receive_data(m.pack(WELCOME))


def test_a_version_that_was_not_offered_is_refused_by_both():
    client, server = ClientProtocol(), ServerProtocol()
    server.receive_data(client.send_hello(HELLO))
    other = m.Welcome(3, "n", 5, 2000, False)
    with pytest.raises(ProtocolError):
        server.send_welcome(other)
    with pytest.raises(ProtocolError):
        client.receive_data(m.pack(other))


def test_messages_of_the_other_direction_are_unknown():
    client, server = greeted()
    assert client.receive_data(m.pack(HELLO)) == []
    assert server.receive_data(m.pack(WELCOME)) == []


def test_unknown_types_are_ignored_once_greeted_and_refused_before():
    client, server = greeted()
    later = frames.encode(200, {"x": 1})
    assert client.receive_data(later + m.pack(m.Ping(1))) == [m.Ping(1)]
    assert server.receive_data(later) == []
    with pytest.raises(ProtocolError):
        ServerProtocol().receive_data(later)


def test_the_index_only_grows_on_both_ends():
    client, server = greeted()
    with pytest.raises(ProtocolError):
        server.send_sync(m.Sync(4, False, False))
    with pytest.raises(ProtocolError):
        client.receive_data(m.pack(m.Sync(4, False, False)))


def test_no_secret_is_newer_than_its_sync():
    client, server = greeted()
    secret = m.Secret("a/b", 1, 9, {"value": b""})
    data = server.send_secret(secret)
    with pytest.raises(ProtocolError):
        server.send_sync(m.Sync(8, False, False))
    with pytest.raises(ProtocolError):
        client.receive_data(data + m.pack(m.Sync(8, False, False)))


def test_sending_out_of_order_is_the_senders_error():
    client, server = ClientProtocol(), ServerProtocol()
    for send in (
        lambda: client.send_ping(m.Ping(1)),
        lambda: client.send_receipt(m.Receipt(0, {}, "", 0)),
        lambda: server.send_welcome(WELCOME),
        lambda: server.send_sync(m.Sync(1, False, False)),
        lambda: server.send_secret(m.Secret("a/b", 1, 1, {"value": b""})),
        lambda: server.send_goaway(m.Goaway("x", 1)),
    ):
        with pytest.raises(ProtocolError):
            send()
    client.send_hello(HELLO)
    with pytest.raises(ProtocolError):
        client.send_hello(HELLO)


def test_a_node_may_refuse_before_it_is_spoken_to():
    server = ServerProtocol()
    assert server.send_refused(m.Refused("unavailable", "full", "", 1000))
    with pytest.raises(ProtocolError):
        server.send_refused(m.Refused("unavailable", "full", "", 1000))


def test_a_closed_end_says_and_hears_nothing():
    _, server = greeted()
    server.close()
    assert server.receive_data(m.pack(m.Ping(1))) == []
    with pytest.raises(ProtocolError):
        server.send_ping(m.Ping(1))
