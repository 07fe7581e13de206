"""One request to this pod: what counts as told."""

from __future__ import annotations

import http.server
import socket
import threading
from http import HTTPStatus

import pytest

from sidecar.http_request import request


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.server.asked.append((self.command, self.path, self.headers["Host"], self.headers["Content-Length"]))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize("status", [HTTPStatus.OK, HTTPStatus.NO_CONTENT])
def test_a_good_answer(server, status):
    port = server.server_address[1]
    assert request("POST", f"http://localhost:{port}/a/{status}", 5.0) == ""
    assert server.asked == [("POST", f"/a/{status}", f"localhost:{port}", "0")]


@pytest.mark.parametrize("status", [301, 404, 503])
def test_another_answer_is_none_and_no_redirect_is_followed(server, status):
    url = f"http://127.0.0.1:{server.server_address[1]}/{status}"
    assert request("GET", url, 5.0) == f"GET {url}: the answer was {status}"
    assert len(server.asked) == 1


def test_only_this_pod():
    with pytest.raises(ValueError, match="not this pod"):
        request("GET", "http://10.0.0.1/", 1.0)


@pytest.fixture
def stuck():
    """Answers a status line, says that a body follows, and sends none; to /mute not even that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            peer, _ = listener.accept()
            with peer:
                if b"/mute" not in peer.recv(1 << 16):
                    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                peer.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_an_answer_whose_body_never_ends_is_one(stuck):
    assert request("POST", f"http://127.0.0.1:{stuck}/reload", 0.3) == ""


def test_none_at_all_is_said_in_words(stuck):
    url = f"http://127.0.0.1:{stuck}/mute"
    assert request("POST", url, 0.3) == f"POST {url}: no answer in time"
