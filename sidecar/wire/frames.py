"""Frames: where one message ends and the next begins.

Why it exists: TLS gives a stream of bytes in any chunking. A frame is a 4-byte big-endian length and a msgpack array
`[type, body]`; nothing is buffered, parsed or allocated beyond the limits below, also before a peer has shown who it
is. What it refuses to do: know what a message means, or read on after the first violation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgpack

HEADER: Final = 4
MAX_FRAME: Final = (1 << 20) + (128 << 10)
"""Bytes after the length: a secret's 1 MiB of values plus room for 64 field names and the rest (under 20 KiB), and for
a HELLO naming 2048 secrets (about 670 KiB)."""
MAX_TYPE: Final = 255
MAX_STRING: Final = 32 << 10
"""The longest string of the protocol is a token, 16 KiB at most; twice that leaves the refusal to the verifier."""
MAX_ITEMS: Final = 2048
"""Entries of one map or array: `have` and `want` name at most this many secrets."""
MAX_CONTAINERS: Final = 64
"""Maps and arrays in one frame, hence also their depth. Messages use four; a megabyte of empty maps would otherwise
cost sixty times its size in memory, before anybody is authenticated."""


class ProtocolError(Exception):
    """The peer broke the protocol: close the connection. The message names the rule, never a received value."""


class _Containers:
    """Counts the containers of one frame while msgpack builds them, inmost first."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_CONTAINERS

    def seen(self, container: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ProtocolError(f"more than {MAX_CONTAINERS} maps and arrays in a frame")
        return container


def _no_extension(code: int, data: bytes) -> NoReturn:
    raise ProtocolError("msgpack extension types are not used")


def encode(kind: int, body: Mapping[str, Any]) -> bytes:
    """One frame. Raises ProtocolError if it would be larger than any reader accepts."""
    payload: bytes = msgpack.packb([kind, body], use_bin_type=True)
    if len(payload) > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    return len(payload).to_bytes(HEADER, "big") + payload


def decode(payload: bytes | bytearray | memoryview) -> tuple[int, dict[str, Any]]:
    """The (type, body) of one frame without its length. Raises ProtocolError for anything else."""
    count = _Containers().seen
    try:
        frame = msgpack.unpackb(
            payload,
            raw=False,
            strict_map_key=True,
            object_hook=count,
            list_hook=count,
            ext_hook=_no_extension,
            max_str_len=MAX_STRING,
            max_bin_len=MAX_FRAME,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
        )
    except ProtocolError:
        raise
    except Exception:
        # msgpack has some ten kinds of complaint (ExtraData, StackError, bad UTF-8, ...), and their texts may quote
        # what was received. One of ours that quotes nothing stands for them all.
        raise ProtocolError("a frame is not msgpack within the limits") from None
    if not isinstance(frame, list) or len(frame) != 2:
        raise ProtocolError("a frame is not an array of two")
    kind, body = frame
    if type(kind) is not int or not 0 <= kind <= MAX_TYPE:
        raise ProtocolError("a frame's type is not an integer from 0 to 255")
    if not isinstance(body, dict) or not all(type(key) is str for key in body):
        raise ProtocolError("a frame's body is not a map with string keys")
    return kind, body


class FrameReader:
    """Cuts a stream into frames. Holds at most one unfinished frame."""

    __slots__ = ("_broken", "_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._broken = False

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, dict[str, Any]]]:
        """All frames that `data` completes, in order.

        Raises ProtocolError at the first violation, and at every call after it: nothing behind a violation can be
        trusted to be a frame. Frames before it in the same `data` are lost with the connection, which is how a
        connection that dies a moment earlier looks too.
        """
        if self._broken:
            raise ProtocolError("the stream was broken earlier")
        self._buffer += data
        frames: list[tuple[int, dict[str, Any]]] = []
        start = 0
        try:
            with memoryview(self._buffer) as view:
                while (end := self._end(view, start)) is not None:
                    with view[start + HEADER : end] as payload:
                        frames.append(decode(payload))
                    start = end
        except ProtocolError:
            self._broken = True
            self._buffer = bytearray()
            raise
        if start == len(self._buffer):
            self._buffer = bytearray()  # a fresh one: the old one would keep the room of the largest frame for ever
        elif start:
            del self._buffer[:start]
        return frames

    def _end(self, view: memoryview, start: int) -> int | None:
        if len(view) - start < HEADER:
            return None
        length = int.from_bytes(view[start : start + HEADER], "big")
        if not 0 < length <= self._limit:
            raise ProtocolError(f"a frame of {length} bytes is not within 1 to {self._limit}")
        end = start + HEADER + length
        return end if end <= len(view) else None
