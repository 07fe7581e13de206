"""What a kubelet does with a port-forward over a WebSocket: two channels a port, data and errors, and bytes piped.

Why it exists: the real client speaks this; a stand-in that it cannot tell from a kubelet is the smallest honest one.
What it refuses to do: more than one port a connection, or the newer tunnel of SPDY.

Framing: RFC 6455, with the library that the client uses. Channels (v4.channel.k8s.io): the first byte of a message is
the channel; the first message of each channel is the port, little endian.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import select
import socket
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any

from websocket import ABNF
from websocket._abnf import frame_buffer

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = b"\x00", b"\x01"
MAX_WAITING = 1 << 18
"""Bytes for a client that does not read: no more is read of the far end then."""
AGAIN = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


def forward(handler: BaseHTTPRequestHandler, far: socket.socket | None, port: int) -> None:
    """`far`: None for a port on which nothing listens."""
    assert PROTOCOL in handler.headers["Sec-WebSocket-Protocol"].split(",")
    digest = hashlib.sha1((handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Protocol", PROTOCOL)
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(digest.digest()).decode())
    handler.end_headers()
    for channel in (DATA, ERROR):
        _send(handler, channel + port.to_bytes(2, "little"))
    if far is None:
        _send(handler, ERROR + b"nothing listens there")
        return
    pump = _Pump(handler.connection, far)
    frames = frame_buffer(pump.some, skip_utf8_validation=True)
    try:
        while (frame := frames.recv_frame()).opcode == ABNF.OPCODE_BINARY:
            assert frame.data[:1] == DATA
            pump.to_far += frame.data[1:]
    except OSError:
        pass
    finally:
        far.close()


class _Pump:
    """Both directions in one thread: Python 3.11 does not guard a TLS socket against one that reads and one that writes,
    and streams broke now and then ("EOF occurred in violation of protocol")."""

    def __init__(self, client: Any, far: socket.socket) -> None:
        self._client, self._far = client, far
        self.to_far, self._to_client, self._found = bytearray(), bytearray(), bytearray()
        self._ended = False
        client.setblocking(False)
        far.setblocking(False)

    def some(self, size: int) -> bytes:
        """What the client has sent, as much as is there. Raises OSError when it or the far end breaks."""
        while not self._found:
            self._turn()
        data = bytes(self._found[:size])
        del self._found[:size]
        return data

    def _turn(self) -> None:
        read = [self._client] if self._ended or len(self._to_client) > MAX_WAITING else [self._client, self._far]
        write = [each for each, data in ((self._client, self._to_client), (self._far, self.to_far)) if data]
        read, write, _ = select.select(read, write, [], 0.0 if self._client.pending() else 30.0)
        with contextlib.suppress(*AGAIN):
            if data := self._client.recv(65536):
                self._found += data
            else:
                raise ConnectionResetError
        if self._far in read:
            data = self._far.recv(65536)
            self._ended = not data
            self._to_client += _frame(DATA + data) if data else _frame(b"", ABNF.OPCODE_CLOSE)
        if self._client in write:
            with contextlib.suppress(*AGAIN):
                del self._to_client[: self._client.send(self._to_client)]
        if self._far in write:
            del self.to_far[: self._far.send(self.to_far)]


def _send(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(_frame(data))


def _frame(data: bytes, opcode: int = ABNF.OPCODE_BINARY) -> bytes:
    frame = ABNF.create_frame(data, opcode)
    frame.mask_value = 0
    return bytes(frame.format())
