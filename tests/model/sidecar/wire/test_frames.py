"""Any chunking gives the same frames; any garbage gives ProtocolError and nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.frames import MAX_FRAME, FrameReader, ProtocolError, decode, encode

SCALARS = st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.text(max_size=40) | st.binary(max_size=200)
VALUES = SCALARS | st.lists(SCALARS, max_size=6) | st.dictionaries(st.text(max_size=9), SCALARS, max_size=6)
FRAMES = st.lists(st.tuples(st.integers(0, 255), st.dictionaries(st.text(max_size=9), VALUES, max_size=6)), max_size=8)


def chunks(data, stream):
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        yield stream[:size]
        stream = stream[size:]


@given(FRAMES, st.data())
def test_any_chunking_gives_the_same_frames(frames, data):
    reader, got = FrameReader(), []
    for chunk in chunks(data, b"".join(encode(kind, body) for kind, body in frames)):
        got += reader.feed(chunk)
    assert got == frames
    assert reader.buffered == 0


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_garbage_is_a_protocol_error_at_most(parts):
    reader, broken = FrameReader(), False
    for part in parts:
        try:
            reader.feed(part)
            assert not broken, "a broken stream stays broken"
        except ProtocolError:
            broken = True
        assert reader.buffered <= MAX_FRAME + 4


@given(st.binary(max_size=400))
def test_any_payload_is_a_frame_or_a_protocol_error(payload):
    with contextlib.suppress(ProtocolError):
        kind, body = decode(payload)
        assert type(kind) is int and type(body) is dict


@given(FRAMES.filter(bool), st.data())
def test_a_damaged_stream_is_a_protocol_error_or_other_frames(frames, data):
    stream = bytearray(b"".join(encode(kind, body) for kind, body in frames))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProtocolError):
        for kind, body in FrameReader().feed(bytes(stream)):
            assert 0 <= kind <= 255 and all(type(key) is str for key in body)
