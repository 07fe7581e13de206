"""Every message survives the wire; every other body is refused with ProtocolError and nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader, ProtocolError

TABLE = {**m.FROM_CLIENT, **m.FROM_NODE}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a/b", "value", b"a/b", b"value"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_round_trip(strategies, data):
    message = data.draw(strategies.from_client | strategies.from_node)
    [(kind, body)] = FrameReader().feed(m.pack(message))
    assert TABLE[kind].from_body(body) == message


@given(st.data())
def test_one_wrong_field_is_refused_or_harmless(strategies, data):
    message = data.draw(strategies.from_client | strategies.from_node)
    body = message.to_body()
    if body:
        key = data.draw(st.sampled_from(sorted(body)))
        body[key] = data.draw(JUNK)
    try:
        again = type(message).from_body(body)
    except ProtocolError:
        return
    assert FrameReader().feed(m.pack(again)), "what was accepted can be sent on"


@given(st.sampled_from(sorted(TABLE)), st.dictionaries(st.text(max_size=9), JUNK, max_size=5))
def test_any_body_is_a_message_or_a_protocol_error(kind, body):
    with contextlib.suppress(ProtocolError):
        assert isinstance(TABLE[kind].from_body(body), TABLE[kind])
