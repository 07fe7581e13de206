"""A node that dies while another one is a black hole: the real process, in a network namespace with dropped packets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, importlib.util, json, subprocess, sys, tempfile, time
from pathlib import Path
import trustme

spec = importlib.util.spec_from_file_location("sidecar_fixtures", {conftest!r})
fixtures = importlib.util.module_from_spec(spec)
sys.modules["sidecar_fixtures"] = fixtures
spec.loader.exec_module(fixtures)


def drop(*nodes):
    for node in nodes:
        for way in "sd":
            command = ["iptables", "-A", "INPUT", "-p", "tcp", f"--{{way}}port", str(node.port), "-j", "DROP"]
            subprocess.run(command, check=True)


async def scenario(folder, silent, ready):
    rig = fixtures.Rig(folder, trustme.CA(key_type=trustme.KeyType.ECDSA))
    nodes = [await rig.node(f"safe-{{n}}") for n in range(3)]
    for node in nodes:
        node.heartbeat_ms = 2000
        node.put("shop/db", 1, {{"value": b"v1"}})
    await rig.start("run")
    await fixtures.until(lambda: any(node.live() and node.live()[0].receipts() for node in nodes))
    held = next(node for node in nodes if node.live())
    hole, last = [node for node in nodes if node is not held]
    await ready.wait()  # nobody is measured while others start
    await asyncio.sleep(1.2)  # the stream has lived: what follows is not a first dial's back-off
    last.put("shop/db", 2, {{"value": b"v2"}})
    began = time.monotonic()
    if silent:
        drop(held, hole)
    else:
        drop(hole)
        await held.kill()
    db = rig.mount / "db"
    await fixtures.until(lambda: db.read_bytes() == b"v2")
    took = time.monotonic() - began
    await rig.close()
    return took


async def one(silent, ready):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return await scenario(Path(folder), silent, ready)


async def main():
    found = {{}}
    for name, silent in (("crash", False), ("cut", True)):
        # Chance chooses the order: in some of the four the black hole is tried first. Each has ports of its own.
        subprocess.run(["iptables", "-F", "INPUT"], check=True)
        ready = asyncio.Barrier(4)
        found[name] = await asyncio.gather(*(one(silent, ready) for _ in range(4)))
    print(json.dumps(found))


asyncio.run(main())
"""


@pytest.mark.timeout(200)
def test_a_black_hole_does_not_eat_the_time_of_a_failover(request):
    """Without the race a dial to the black hole alone takes the 2 s that TCP is given, and the next one as long again
    if chance has it so. The promises are 1 s for a crash and 3 s for a silent cut; what is asserted leaves room for a
    busy machine and none for a dial that is waited for."""
    assert os.geteuid() == 0 and shutil.which("iptables") and shutil.which("unshare"), "needs root and iptables"
    program = PROGRAM.format(conftest=str(request.path.parent / "conftest.py"))
    inner = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "sh", "-c", inner, "sh", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert max(found["crash"]) < 1.8
    assert max(found["cut"]) < 2.6 + 1.8
