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
import socket
import threading
from http.server import BaseHTTPRequestHandler

from websocket import ABNF
from websocket._abnf import frame_buffer

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = b"\x00", b"\x01"


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
    back = threading.Thread(target=_answers, args=(handler, far), daemon=True)
    back.start()
    frames = frame_buffer(lambda size: _some(handler, size), skip_utf8_validation=True)
    try:
        while (frame := frames.recv_frame()).opcode == ABNF.OPCODE_BINARY:
            assert frame.data[:1] == DATA
            far.sendall(frame.data[1:])
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)  # closing alone would leave it open while the other thread reads
        back.join(10)
        far.close()


def _some(handler: BaseHTTPRequestHandler, size: int) -> bytes:
    data = handler.rfile.read1(size)
    if not data:
        raise ConnectionResetError
    return data


def _answers(handler: BaseHTTPRequestHandler, far: socket.socket) -> None:
    try:
        while data := far.recv(65536):
            _send(handler, DATA + data)
        _send(handler, b"", ABNF.OPCODE_CLOSE)
    except OSError:
        pass


def _send(handler: BaseHTTPRequestHandler, data: bytes, opcode: int = ABNF.OPCODE_BINARY) -> None:
    frame = ABNF.create_frame(data, opcode)
    frame.mask_value = 0
    handler.wfile.write(frame.format())
