"""Who gets in at the peer door."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

import pytest

from node.clock import SystemClock
from node.crypto import certs
from node.raft import codec
from node.raft.transport import PeerTransport
from node.settings import Address

Trio = Any  # conftest.Trio


async def dial(trio: Trio, to: str, names: list[str], authority: str = "peer") -> tuple[Any, Any]:
    folder = trio.folder / "identity"
    leaf = certs.Authority.load(folder, authority).issue(names)
    context = certs.client_context(certs.Authority.load(folder, "peer").cert_pem, leaf)
    address = trio.peers[to]
    return await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=to)


def frame(message: Any) -> bytes:
    body = codec.pack(message)
    return struct.pack(">I", len(body)) + body


async def closed_without_a_word(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(10):
            return await reader.read() == b""
    except (ConnectionError, ssl.SSLError):
        return True


def greeting(member: str, **changes: Any) -> bytes:
    return frame({"type": "greeting", "version": 1, "cluster": "test", "member": member, "blank": True, **changes})


@pytest.mark.parametrize(
    "first",
    [
        greeting("safe-2.x"),  # the certificate says safe-1
        greeting("safe-1.x", cluster="another"),
        greeting("safe-1.x", version=9),
        frame({"type": "request_vote", "term": 99, "last_index": 9, "last_term": 9, "transfer": True}),
        frame([1, 2, 3]),
        struct.pack(">I", 1 << 30),
        b"\x00\x00\x00\x01\xc1",
    ],
)
async def test_whoever_does_not_greet_as_its_certificate_is_cut_off(trio: Trio, first: bytes) -> None:
    node = await trio.start("safe-0")
    reader, writer = await dial(trio, "safe-0", ["safe-1"])
    writer.write(first)
    assert await closed_without_a_word(reader)
    writer.close()
    assert node.core.connected == set() and node.core.term == 0


async def test_a_server_certificate_does_not_open_the_peer_door(trio: Trio) -> None:
    await trio.start("safe-0")
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        reader, writer = await dial(trio, "safe-0", ["safe-1"], authority="server")
        writer.write(greeting("safe-1.x"))
        await reader.readexactly(4)


async def test_a_greeted_peer_gets_a_greeting_back_and_a_malformed_message_harms_nobody(trio: Trio) -> None:
    node = await trio.start("safe-0")
    reader, writer = await dial(trio, "safe-0", ["safe-1"])
    writer.write(greeting("safe-1.x"))
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    answer = codec.unpack(await reader.readexactly(length))
    assert answer["member"] == node.core.member
    await trio.eventually(lambda: node.core.connected == {"safe-1.x"})
    for message in ({"type": "append_entries"}, {"type": "append_entries", "term": "x"}, {"type": "nonsense"}):
        writer.write(frame(message))
    writer.write(frame({"type": "vote_response", "term": 0, "granted": True, "current": 0}))
    await asyncio.sleep(0.2)
    assert not node.failed.done() and node.core.connected == {"safe-1.x"}
    writer.close()
    await trio.eventually(lambda: node.core.connected == set())


async def test_a_removed_name_does_not_come_in_with_a_good_certificate(trio: Trio) -> None:
    await trio.start_all()
    leader = await trio.leader()
    await leader.propose(b"settled", 10.0)
    name = leader.settings.name
    reader, writer = await dial(trio, name, ["safe-7"])
    writer.write(greeting("safe-7.x", config=1))
    assert await closed_without_a_word(reader)
    writer.close()
    assert "safe-7.x" not in leader.core.connected
    # One that knows a newer configuration may be the leader of a cluster that has changed since.
    reader, writer = await dial(trio, name, ["safe-7"])
    writer.write(greeting("safe-7.x", config=10**6))
    await trio.eventually(lambda: "safe-7.x" in leader.core.connected)
    writer.close()


async def test_a_stop_at_the_moment_a_connection_is_made_ends_the_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11's wait_for swallows a cancellation that meets its result; the transport then dialled for ever."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()

    class Loop:
        async def create_connection(self, *_: Any, **__: Any) -> Any:
            return await made

    transport = PeerTransport("b", "test", {"a": Address("127.0.0.1", 1)}, lambda: (None, None), None, SystemClock())  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(transport, "loop", Loop())
    task = asyncio.create_task(transport._dial("a"))
    for _ in range(5):
        await asyncio.sleep(0)
    loop.call_soon(task.cancel)  # runs when what was awaited has its result and its waiter has not run
    made.set_exception(OSError("refused"))
    done, _ = await asyncio.wait({task}, timeout=5)
    task.cancel()
    assert done and task.cancelled()
