"""A port of a pod on the loopback: many connections, its limit, its end, and what is said when it cannot be."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statefulset.kube.forward import AT_ONCE, Forward
from statefulset.kube.login import Login

from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    running = ApiServer(tmp_path, Cluster())
    running.tokens["t"] = "ops/admin"
    yield running
    running.stop()


@pytest.fixture
def forward(api: ApiServer, echo: int) -> Iterator[Forward]:
    api.ports["raftsafe/safe-0", 8500] = echo
    made = Login(str(api.kubeconfig("k", {"token": "t"})), "").forward("raftsafe", "safe-0", 8500)
    yield made
    made.close()


def dialled(forward: Forward) -> socket.socket:
    return socket.create_connection(("127.0.0.1", forward.port), 30)


def told(connection: socket.socket, data: bytes) -> bytes:
    """What comes back, as much as was sent, or until the end."""
    sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
    sender.start()
    found = b""
    while len(found) < len(data) and (more := connection.recv(65536)):
        found += more
    sender.join(30)
    return found


def until(condition: Callable[[], bool]) -> bool:
    """Whether it came true, once."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_bytes_come_back_as_they_were_on_several_connections(forward: Forward) -> None:
    with dialled(forward) as one, dialled(forward) as other:
        large = bytes(range(256)) * 4096
        assert told(one, large) == large
        assert told(other, b"x") == b"x"


def test_room_for_so_many_and_again_when_one_ends(forward: Forward) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(dialled(forward)) for _ in range(AT_ONCE)]
        assert all(told(each, b"x") == b"x" for each in held)
        with dialled(forward) as beyond:
            assert beyond.recv(1) == b"", "closed at once"
        held[0].close()

        def again() -> bool:
            with dialled(forward) as another, contextlib.suppress(OSError):
                return told(another, b"y") == b"y"
            return False

        assert until(again)


def test_the_listener_ends(forward: Forward) -> None:
    forward.close()
    with pytest.raises(OSError):
        dialled(forward)


def test_why_is_known_when_the_connection_ends(api: ApiServer, forward: Forward) -> None:
    api.ports.clear()
    with dialled(forward) as connection:
        assert connection.recv(1) == b""
    assert forward.why == "the pod does not take the connection"
    api.cluster.rights = []
    with dialled(forward) as connection:
        assert connection.recv(1) == b""
    assert "status 403" in forward.why
    api.stop()
    with dialled(forward) as connection:
        assert connection.recv(1) == b""
    assert "cannot be reached" in forward.why
