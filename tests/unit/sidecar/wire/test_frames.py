"""Frames: limits hold before anything is buffered, and nothing else than ProtocolError comes out."""

from __future__ import annotations

import msgpack
import pytest

from sidecar.wire import frames
from sidecar.wire.frames import FrameReader, ProtocolError, decode, encode


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def test_a_frame_is_a_length_and_an_array_of_two():
    assert encode(3, {"a": 1}) == framed(msgpack.packb([3, {"a": 1}]))
    assert FrameReader().feed(encode(3, {"a": 1})) == [(3, {"a": 1})]


def test_bytes_and_strings_stay_apart():
    assert FrameReader().feed(encode(1, {"s": "x", "b": b"x"})) == [(1, {"s": "x", "b": b"x"})]


def test_byte_by_byte_gives_the_same_frames():
    reader, stream, got = FrameReader(), encode(1, {"n": 1}) + encode(2, {}), []
    for at in range(len(stream)):
        got += reader.feed(stream[at : at + 1])
    assert got == [(1, {"n": 1}), (2, {})]
    assert reader.buffered == 0


def test_a_length_over_the_limit_is_refused_before_the_body():
    with pytest.raises(ProtocolError, match="not within"):
        FrameReader().feed((frames.MAX_FRAME + 1).to_bytes(4, "big"))


def test_the_largest_frame_is_accepted():
    body = {"fields": {"value": bytes(frames.MAX_FRAME - 64)}}
    assert FrameReader().feed(encode(18, body))[0][1] == body


def test_encode_refuses_what_no_reader_accepts():
    with pytest.raises(ProtocolError, match="over the limit"):
        encode(18, {"value": bytes(frames.MAX_FRAME)})


@pytest.mark.parametrize(
    "payload",
    [
        b"\xc1",
        b"\x90",
        msgpack.packb([1]),
        msgpack.packb([1, {}, 2]),
        msgpack.packb({"a": 1}),
        msgpack.packb(["1", {}]),
        msgpack.packb([True, {}]),
        msgpack.packb([-1, {}]),
        msgpack.packb([256, {}]),
        msgpack.packb([1, []]),
        msgpack.packb([1, {b"a": 1}]),
        b"\x92\x01\x81\x01\x01",
        msgpack.packb([1, {}]) + b"\x00",
        msgpack.packb([1, {"a": msgpack.ExtType(5, b"")}]),
        msgpack.packb([1, {"a": msgpack.ExtType(5, b"abc")}]),
        msgpack.packb([1, {"a": "x" * (frames.MAX_STRING + 1)}]),
        msgpack.packb([1, {"a": [0] * (frames.MAX_ITEMS + 1)}]),
        msgpack.packb([1, {"a": [[]] * frames.MAX_CONTAINERS}]),
        b"\x92\x01\x81\xa1a" + b"\x91" * 5000 + b"\xc0",
        b"\x92\x01\x81\xa1a\xa2\xff\xfe",
        b"\x92\x01\x81\xa1a\xdd\xff\xff\xff\xff",
    ],
)
def test_anything_else_is_a_protocol_error(payload):
    with pytest.raises(ProtocolError):
        decode(payload)
    with pytest.raises(ProtocolError):
        FrameReader().feed(framed(payload))


def test_an_empty_frame_is_refused():
    with pytest.raises(ProtocolError):
        FrameReader().feed(bytes(4))


def test_nothing_is_read_after_a_violation():
    reader = FrameReader()
    with pytest.raises(ProtocolError):
        reader.feed(framed(b"\xc1"))
    with pytest.raises(ProtocolError, match="earlier"):
        reader.feed(encode(1, {}))
    assert reader.buffered == 0


def test_an_error_never_quotes_what_was_received():
    with pytest.raises(ProtocolError) as caught:
        decode(msgpack.packb([1, {"a": b"canary"}]) + b"canary")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_the_buffer_holds_one_unfinished_frame_at_most():
    reader = FrameReader()
    frame = encode(1, {"b": bytes(1000)})
    reader.feed(frame * 10 + frame[:7])
    assert reader.buffered == 7


def test_a_smaller_limit_can_be_asked_for():
    with pytest.raises(ProtocolError):
        FrameReader(limit=16).feed(encode(1, {"b": bytes(64)}))
