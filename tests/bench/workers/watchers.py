"""The peers of row swap: processes that keep a key of etcd in a file, by a watch or by asking every so many seconds.

Small stand-ins for what people run today, and lighter than those: many in one process, one small file each, renamed
over the old one. `options`: `ca_file`, `ports`, `key`, `watch` and `poll` (folders of the files), `period` in seconds.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from load.api import HOST, client_context
from workers import control


def write(path: str, value: bytes) -> None:
    with open(f"{path}.new", "wb") as file:
        file.write(value)
    os.rename(f"{path}.new", path)


class Peer:
    def __init__(self, options: dict[str, Any], session: aiohttp.ClientSession) -> None:
        self.options, self.session = options, session
        self.key = base64.b64encode(options["key"].encode()).decode()
        self.watching = 0

    def url(self, number: int, path: str) -> str:
        ports = self.options["ports"]
        return f"https://{HOST}:{ports[number % len(ports)]}{path}"

    async def watch(self, number: int, path: str) -> None:
        """One stream of events; a line of JSON each."""
        asked = {"create_request": {"key": self.key}}
        async with self.session.post(self.url(number, "/v3/watch"), json=asked) as answer:
            async for line in answer.content:
                result = json.loads(line)["result"]
                self.watching += bool(result.get("created"))
                for event in result.get("events", ()):
                    write(path, base64.b64decode(event["kv"]["value"]))

    async def poll(self, number: int, path: str, first: float) -> None:
        await asyncio.sleep(first)
        while True:
            async with self.session.post(self.url(number, "/v3/kv/range"), json={"key": self.key}) as answer:
                found = await answer.json()
            if found.get("kvs"):
                write(path, base64.b64decode(found["kvs"][0]["value"]))
            await asyncio.sleep(self.options["period"])

    async def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"watching": self.watching}


async def main() -> None:
    options = json.loads(sys.argv[1])
    connector = aiohttp.TCPConnector(limit=0, ssl=client_context(Path(options["ca_file"])))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        peer = Peer(options, session)
        tasks = [asyncio.ensure_future(peer.watch(*each)) for each in enumerate(options["watch"])]
        for number, path in enumerate(options["poll"]):
            first = options["period"] * number / len(options["poll"])
            tasks.append(asyncio.ensure_future(peer.poll(number, path, first)))
        await control.serve(peer.handle)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
