from __future__ import annotations

import asyncio
import errno

import pytest

from node.delivery import acceptor as module
from node.delivery.acceptor import Acceptor


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()


@pytest.fixture
def start(contexts):
    acceptors = []

    def start(full=lambda shaking: False):
        acceptor = Acceptor(Echo, contexts[0], full)
        acceptor.start("127.0.0.1", 0)
        acceptors.append(acceptor)
        return acceptor

    yield start
    for acceptor in acceptors:
        acceptor.close()


async def greeting(port, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    data = await reader.read()
    writer.close()
    return data


async def test_many_at_once_are_all_served(start, contexts, eventually):
    acceptor = start()
    answers = await asyncio.gather(*(greeting(acceptor.port, contexts[1]) for _ in range(100)))
    assert answers == [b"hello"] * 100
    await eventually(lambda: acceptor.shaking == 0 and acceptor._fresh == 0)


async def test_those_who_never_finish_do_not_keep_the_places(start, contexts, eventually):
    """Those in the middle of a handshake age, those who have said nothing have no place in the first place."""
    acceptor = start()
    idle = [await asyncio.open_connection("127.0.0.1", acceptor.port) for _ in range(3 * module.FRESH_LIMIT)]
    await eventually(lambda: acceptor.shaking == len(idle))
    assert acceptor._fresh == 0
    for _, writer in idle[: module.FRESH_LIMIT]:
        writer.write(b"\x16")
    await eventually(lambda: len(acceptor._tasks) == module.FRESH_LIMIT)
    assert await greeting(acceptor.port, contexts[1]) == b"hello"
    for _, writer in idle:
        writer.close()
    await eventually(lambda: acceptor.shaking == 0)
    assert acceptor.failed == len(idle) and acceptor._fresh == 0 and not acceptor._shaking


async def test_the_silent_do_not_keep_anybody_waiting(start, contexts, monkeypatch, eventually):
    """A crowd that says nothing, and another after it, cost a real one not one turn of those that are aged away."""
    monkeypatch.setattr(module, "FRESH", 3600.0)
    acceptor = start()
    silent = [await asyncio.open_connection("127.0.0.1", acceptor.port) for _ in range(4 * module.FRESH_LIMIT)]
    assert await greeting(acceptor.port, contexts[1]) == b"hello"
    for _, writer in silent:
        writer.close()
    await eventually(lambda: acceptor.shaking == 0)


async def test_who_never_says_anything_goes(start, contexts, monkeypatch):
    monkeypatch.setattr("node.delivery.lobby.PATIENCE", 0.05)
    monkeypatch.setattr("node.delivery.lobby.SILENT", 2)
    monkeypatch.setattr(module, "SWEEP", 0.05)
    acceptor = start()
    silent = [await asyncio.open_connection("127.0.0.1", acceptor.port) for _ in range(5)]
    for reader, writer in silent:
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
    assert acceptor.shaking == 0 and acceptor.failed == 5


async def test_who_gave_up_while_waiting_costs_no_handshake(start, contexts, monkeypatch, eventually):
    acceptor = start()
    begun = []
    monkeypatch.setattr(acceptor, "_fresh", module.FRESH_LIMIT)  # nobody's turn comes for a while
    original = acceptor._shake
    monkeypatch.setattr(acceptor, "_shake", lambda peer: (begun.append(peer), original(peer))[1])
    _, writer = await asyncio.open_connection("127.0.0.1", acceptor.port)
    writer.write(b"\x16\x03\x01")
    await eventually(lambda: acceptor._lobby.count == 1)
    writer.close()
    await writer.wait_closed()
    monkeypatch.setattr(acceptor, "_fresh", 0)
    assert await greeting(acceptor.port, contexts[1]) == b"hello"
    assert len(begun) == 1 and acceptor.failed == 1


async def test_a_crowd_is_taken_at_the_pace_of_handshakes(start, contexts):
    """Never more than FRESH_LIMIT at once, the rest waits; and the loop serves others in between."""
    acceptor = start()
    crowd = [asyncio.create_task(greeting(acceptor.port, contexts[1])) for _ in range(8 * module.FRESH_LIMIT)]
    most, turns = 0, 0
    while not all(task.done() for task in crowd):
        await asyncio.sleep(0)
        most, turns = max(most, acceptor._fresh), turns + 1
    assert [task.result() for task in crowd] == [b"hello"] * len(crowd)
    assert most == module.FRESH_LIMIT, "a crowd fills the places and nothing more"
    assert turns > len(crowd) / module.FRESH_LIMIT


async def test_no_room_means_no_handshake(start, contexts):
    acceptor = start(full=lambda shaking: True)
    with pytest.raises(OSError):
        await greeting(acceptor.port, contexts[1])
    assert acceptor.dropped == 1 and acceptor.shaking == 0


async def test_out_of_descriptors_is_survived(start, contexts, monkeypatch):
    monkeypatch.setattr(module, "EXHAUSTED", 0.05)
    acceptor = start()
    real, failures = acceptor._socket, iter([errno.EMFILE, errno.ENFILE])

    class Exhausted:
        def accept(self):
            code = next(failures, None)
            if code is not None:
                raise OSError(code, "too many open files")
            return real.accept()

        def __getattr__(self, name):
            return getattr(real, name)

    acceptor._socket = Exhausted()
    assert await greeting(acceptor.port, contexts[1]) == b"hello"
    acceptor._socket = real


async def test_closing_refuses_new_ones_and_ends_handshakes(start, eventually):
    acceptor = start()
    port = acceptor.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    other, shaking = await asyncio.open_connection("127.0.0.1", port)
    shaking.write(b"\x16")
    await eventually(lambda: (acceptor.shaking, len(acceptor._tasks)) == (2, 1))
    acceptor.close()
    acceptor.close()
    assert await reader.read() == b"" and await other.read() == b""
    await eventually(lambda: acceptor.shaking == 0)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    shaking.close()


async def test_an_address_that_is_taken_is_an_error(start, contexts):
    acceptor = start()
    with pytest.raises(OSError):
        Acceptor(Echo, contexts[0], lambda shaking: False).start("127.0.0.1", acceptor.port)
