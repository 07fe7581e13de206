from __future__ import annotations

import asyncio

import pytest

from node.delivery.connection import HIGH_WATER, SLICE, Connection


class Transport(asyncio.Transport):
    """Takes `room` bytes, then says stop, as a transport does: from inside the write."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.room = 10**9
        self.written = b""
        self.writes: list[int] = []
        self.ended = ""

    def set_write_buffer_limits(self, high=None, low=None):
        assert high == HIGH_WATER

    def writelines(self, list_of_data):
        data = b"".join(bytes(part) for part in list_of_data)
        self.written += data
        self.writes.append(len(data))
        self.room -= len(data)
        if self.room <= 0:
            self.connection.pause_writing()

    def resume(self, room: int) -> None:
        self.room = room
        self.connection.resume_writing()

    def close(self):
        self.ended = self.ended or "closed"

    def abort(self):
        self.ended = "aborted"

    def get_extra_info(self, name, default=None):
        return ("10.0.0.7", 4711) if name == "peername" else default


class Listener:
    """The part of the server a connection reports to."""

    now = 5.0

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattr__(self, name: str):
        return lambda connection, *rest: self.events.append(name) or True


@pytest.fixture
def connection():
    return Connection(Listener())


@pytest.fixture
def transport(connection):
    transport = Transport(connection)
    connection.connection_made(transport)
    return transport


def test_frames_go_out_in_order_and_in_slices(connection, transport):
    frames = [b"a" * 10, b"b" * (3 * SLICE), b"c" * 10]
    for frame in frames:
        connection.queue(frame)
    assert transport.written == b""
    connection.flush()
    assert transport.written == b"".join(frames) and max(transport.writes) <= SLICE
    assert connection.waiting == 0 and connection._outbox is None


def test_what_the_network_does_not_take_waits_as_a_reference(connection, transport):
    transport.room = 1
    big = b"b" * (4 * SLICE)
    connection.send(big)
    assert len(transport.written) == SLICE and connection.waiting == 3 * SLICE
    assert connection._outbox[0].obj is big, "not a copy"
    connection.send(b"next")
    assert len(transport.written) == SLICE
    transport.resume(10**9)
    assert transport.written == big + b"next"
    assert connection._server.events == ["opened", "drained"]


def test_resuming_with_nothing_waiting_reports_nothing(connection, transport):
    transport.room = 1
    connection.send(b"x")
    transport.resume(10)
    assert connection._server.events == ["opened"]


def test_goodbye_skips_whole_frames_but_never_half_of_one(connection, transport):
    transport.room = 1
    first = b"f" * (SLICE + 100)
    for frame in (first, b"second", b"third"):
        connection.queue(frame)
    connection.flush()
    connection.say_goodbye(b"bye", 7.0)
    connection.say_goodbye(b"bye again", 8.0)
    connection.send(b"late")
    assert connection.closing == 7.0 and transport.ended == ""
    transport.resume(10**9)
    assert transport.written == first + b"bye" and transport.ended == "closed"


def test_goodbye_before_anything_of_the_queue_went_out(connection, transport):
    transport.room = 1
    connection.send(b"x")
    connection.send(b"whole")
    connection.say_goodbye(b"bye", 7.0)
    transport.resume(10**9)
    assert transport.written == b"xbye"


def test_hang_up_waits_for_what_is_under_way_and_abort_does_not(connection, transport):
    transport.room = 1
    connection.send(b"x" * (2 * SLICE))
    connection.hang_up()
    assert transport.ended == ""
    transport.resume(10**9)
    assert transport.ended == "closed"
    connection.abort()
    assert transport.ended == "aborted"


def test_a_lost_connection_takes_nothing_and_fails_nothing(connection, transport):
    transport.room = 1
    connection.send(b"x" * (2 * SLICE))
    connection.connection_lost(None)
    assert connection.lost and connection.waiting == 0 and connection.peer == ""
    connection.send(b"y")
    connection.say_goodbye(b"bye", 1.0)
    connection.hang_up()
    connection.abort()
    connection.resume_writing()
    assert connection._server.events == ["opened", "lost"]


def test_a_broken_rule_is_reported_without_what_was_received(connection, transport):
    assert connection.peer == "10.0.0.7"
    connection.data_received(b"\xff\xff\xff\xffhunter2")
    assert connection._server.events == ["opened", "allowed", "broken"]
