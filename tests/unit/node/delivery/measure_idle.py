"""How much memory one idle sidecar costs a node: run it by hand, it is no test.

    python tests/unit/node/delivery/measure_idle.py 3000

Connects that many TLS clients, from a process of its own, to a real server under uvloop with one granted secret each,
waits until all have their set and have sent a receipt, and prints the growth of the server's resident memory.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import ssl
import sys
import time

import msgpack
import trustme
import uvloop

from node.clock import SystemClock
from node.delivery.hub import Hub
from node.delivery.limits import Limits
from node.delivery.server import DeliveryServer
from sidecar.wire import messages as m
from sidecar.wire.protocol import ClientProtocol

TOKEN = "t" * 1200


class Record:
    name, version, index, deleted, not_before_ms, expires_ms = "shop/db", 1, 1, False, None, None
    grants = ("*/*",)
    generation, write_id, sealed = 1, b"", msgpack.packb({"value": b"v" * 200})


class Source:
    index = 1

    def get(self, name):
        return Record if name == "shop/db" else None

    def list(self, namespace=None, prefix="", after="", limit=100):
        return [] if after else [Record]

    def drain_changes(self):
        return []

    def open_value(self, name, generation, write_id, sealed):
        return msgpack.unpackb(sealed)


class Identity:
    def __init__(self, number):
        self.namespace, self.serviceaccount = f"ns{number % 500}", "web"
        self.pod, self.expires = f"web-{number}", time.time() + 3600


class Client(asyncio.Protocol):
    __slots__ = ("number", "protocol", "transport")

    def __init__(self, number):
        self.number, self.protocol = number, ClientProtocol()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.protocol.send_hello(m.Hello((1, 2), f"{self.number} {TOKEN}", "p", "i", "measure")))

    def data_received(self, data):
        for message in self.protocol.receive_data(data):
            if isinstance(message, m.Ping):
                self.transport.write(self.protocol.send_pong(m.Pong(message.n)))
            elif isinstance(message, m.Sync):
                self.transport.write(self.protocol.send_receipt(m.Receipt(1, {"shop/db": 1}, "", 1)))


async def clients(port: int, count: int, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(64)
    kept = []

    async def one(number: int) -> None:
        async with gate:
            kept.append(
                await loop.create_connection(
                    lambda: Client(number), "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
                )
            )

    await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.Event().wait()


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


async def measure(count: int, port: int, context: ssl.SSLContext) -> None:
    source = Source()

    async def verify(token: str) -> Identity:
        return Identity(int(token.split(maxsplit=1)[0]))

    async def wait_applied(index: int, timeout: float) -> bool:
        return True

    server = DeliveryServer(
        context=context,
        host="127.0.0.1",
        port=port,
        hub=Hub(source, source, "safe-0"),
        verify=verify,
        applied_index=lambda: 1,
        wait_applied=wait_applied,
        clock=SystemClock(),
        node="safe-0",
        stale=lambda: False,
        limits=Limits(),
    )
    gc.collect()
    before, began, cpu = resident_kib(), time.monotonic(), time.process_time()
    await server.start()
    while sum(bool(receipt.placed) for receipt in server.receipts()) < count:
        await asyncio.sleep(0.5)
    took, work = time.monotonic() - began, time.process_time() - cpu
    await asyncio.sleep(5)
    cpu = time.process_time()
    await asyncio.sleep(10)
    idle = (time.process_time() - cpu) / 10
    gc.collect()
    print(f"{count} idle sidecars: {(resident_kib() - before) / count:.1f} KiB each (limit 40)")
    print(f"joined in {took:.1f} s, {work / count * 1000:.2f} ms of CPU each; heartbeats take {idle:.1%} of a CPU")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = os.fork()
    if not child:
        time.sleep(1)
        uvloop.run(clients(port, count, authority))
        os._exit(0)
    try:
        uvloop.run(measure(count, port, context))
    finally:
        os.kill(child, 9)


if __name__ == "__main__":
    main()
