"""Any order of messages, in any chunking: the two ends agree on what is allowed, and never fall over."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import messages as m
from sidecar.wire.frames import ProtocolError
from sidecar.wire.protocol import ClientProtocol, ServerProtocol, State


def feed(protocol, stream, data):
    got = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += protocol.receive_data(stream[:size])
        stream = stream[size:]
    return got


@given(st.data())
def test_a_client_hears_only_what_the_order_allows(strategies, data):
    script = data.draw(st.lists(strategies.from_node, max_size=12))
    client = ClientProtocol()
    client.send_hello(m.Hello((1,), "t", "p", "i", "a"))
    if data.draw(st.booleans()):
        script.insert(0, m.Welcome(1, "n", 0, 1000, False))
    try:
        got = feed(client, b"".join(map(m.pack, script)), data)
    except ProtocolError:
        assert client.closed()
        return
    if got:
        assert isinstance(got[0], m.Welcome | m.Refused)
    indexes = [message.index for message in got if isinstance(message, m.Welcome | m.Sync)]
    assert indexes == sorted(indexes)
    assert sum(isinstance(message, m.Welcome) for message in got) <= 1
    ends = [at for at, message in enumerate(got) if isinstance(message, m.Refused | m.Goaway)]
    assert ends in ([], [len(got) - 1])


@given(st.data())
def test_a_node_hears_only_what_the_order_allows(strategies, data):
    script = data.draw(st.lists(strategies.from_client, max_size=12))
    server = ServerProtocol()
    try:
        got = feed(server, b"".join(map(m.pack, script)), data)
    except ProtocolError:
        assert server.closed()
        return
    assert got == [] or isinstance(got[0], m.Hello)
    assert all(isinstance(message, m.Bye) for message in got[1:]), "nothing but BYE before WELCOME"


@given(st.data())
def test_whatever_one_end_may_send_the_other_accepts(strategies, data):
    """Random scripts on both sides: a send either raises at the sender or is welcome at the receiver."""
    client, server = ClientProtocol(), ServerProtocol()
    names = {
        m.Hello: client.send_hello, m.Receipt: client.send_receipt, m.Token: client.send_token,
        m.Welcome: server.send_welcome, m.Refused: server.send_refused, m.Secret: server.send_secret,
        m.Gone: server.send_gone, m.Sync: server.send_sync, m.Stale: server.send_stale,
        m.Goaway: server.send_goaway, m.Denied: server.send_denied,
    }  # fmt: skip
    if data.draw(st.booleans()):
        server.receive_data(client.send_hello(m.Hello((1, 2), "t", "p", "i", "a")))
        version = data.draw(st.sampled_from([1, 2]))
        client.receive_data(server.send_welcome(m.Welcome(version, "n", 0, 1000, False)))
    for _ in range(data.draw(st.integers(0, 12))):
        by_client = data.draw(st.booleans())
        message = data.draw(strategies.from_client if by_client else strategies.from_node)
        sender, receiver = (client, server) if by_client else (server, client)
        try:
            if isinstance(message, m.Ping):
                packed = sender.send_ping(message)
            elif isinstance(message, m.Pong):
                packed = sender.send_pong(message)
            elif isinstance(message, m.Bye):
                packed = client.send_bye()
            else:
                packed = names[type(message)](message)
        except ProtocolError:
            continue
        if receiver is client and client.state is State.OPEN and not client._greeting:
            continue  # a node that speaks first may only refuse, which an unasked client reads as well
        got = receiver.receive_data(packed)
        if isinstance(message, m.Receipt) and server.version == 1:
            message = replace(message, report=None)
        assert got == ([message] if packed else []) or receiver.closed()
