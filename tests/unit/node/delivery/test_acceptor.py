from __future__ import annotations

import asyncio
import errno
import time

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


async def eventually(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_many_at_once_are_all_served(start, contexts):
    acceptor = start()
    answers = await asyncio.gather(*(greeting(acceptor.port, contexts[1]) for _ in range(100)))
    assert answers == [b"hello"] * 100
    await eventually(lambda: acceptor.shaking == 0 and acceptor._fresh == 0)


async def test_those_who_never_finish_do_not_keep_the_places(start, contexts):
    acceptor = start()
    idle = [await asyncio.open_connection("127.0.0.1", acceptor.port) for _ in range(3 * module.FRESH_LIMIT)]
    assert await greeting(acceptor.port, contexts[1]) == b"hello"
    for _, writer in idle:
        writer.close()
    await eventually(lambda: acceptor.shaking == 0)
    assert acceptor.failed == len(idle) and acceptor._fresh == 0


async def test_a_crowd_is_taken_at_the_pace_of_handshakes(start, contexts):
    """Never more than FRESH_LIMIT at once, the rest waits in the kernel; and the loop serves others in between."""
    acceptor = start()
    crowd = [asyncio.create_task(greeting(acceptor.port, contexts[1])) for _ in range(8 * module.FRESH_LIMIT)]
    most, turns = 0, 0
    while not all(task.done() for task in crowd):
        await asyncio.sleep(0)
        most, turns = max(most, acceptor._fresh), turns + 1
    assert [task.result() for task in crowd] == [b"hello"] * len(crowd)
    assert most == module.FRESH_LIMIT, "a crowd fills the places and nothing more"
    assert turns > len(crowd) / module.AT_ONCE


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


async def test_closing_refuses_new_ones_and_ends_handshakes(start):
    acceptor = start()
    port = acceptor.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await eventually(lambda: acceptor.shaking == 1)
    acceptor.close()
    acceptor.close()
    assert await reader.read() == b""
    await eventually(lambda: acceptor.shaking == 0)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def test_an_address_that_is_taken_is_an_error(start, contexts):
    acceptor = start()
    with pytest.raises(OSError):
        Acceptor(Echo, contexts[0], lambda shaking: False).start("127.0.0.1", acceptor.port)
