"""The real process against a node of the test's making: what a pod would see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import tempfile
from pathlib import Path

import msgpack
import pytest

from sidecar.wire import messages as m

CANARY = b"canary-3f9a"
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "wire_v1.json").read_text())


def value(rig, name):
    try:
        return (rig.mount / name).read_bytes()
    except FileNotFoundError:
        return None


async def test_pushes_are_placed_and_receipted_and_the_next_node_takes_over(rig, wait_until):
    one = await rig.node("safe-0")
    one.put("shop/db", 1, {"value": CANARY})
    one.put("shop/api", 1, {"user": b"u1", "password": b"p1"})
    one.put("other/shared", 1, {"value": b"s1"})
    process = await rig.start("run", SAFE_NODES=f"localhost:{one.port}")
    await wait_until(lambda: one.live() and one.live()[0].receipts())
    assert value(rig, "db") == CANARY
    assert value(rig, "api/user") == b"u1"
    assert value(rig, "@other/shared") == b"s1"
    receipt = one.live()[0].receipts()[-1]
    assert receipt.placed == {"shop/db": 1, "shop/api": 1, "other/shared": 1}
    assert (receipt.index, receipt.error) == (one.index, "")

    one.put("shop/api", 2, {"value": b"plain now"})
    await wait_until(lambda: (rig.mount / "api").is_file())
    assert value(rig, "api") == b"plain now"
    one.delete("other/shared")
    await wait_until(lambda: not (rig.mount / "@other").is_symlink())

    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert process.returncode == 0
    assert isinstance(one.peers[-1].received[-1], m.Bye)
    assert value(rig, "db") == CANARY, "the files stay"
    assert CANARY not in out + err and b"p1" not in out + err
    assert b"eyJ" not in out + err, "no token"
    assert one.violations == []


async def test_files_lie_where_they_are_whatever_a_token_says_that_no_node_has_accepted(rig, wait_until, token):
    one = await rig.node("safe-0")
    one.put("shop/db", 1, {"value": b"v1"})
    rig.token_file.write_text(token(lifetime=8.0))
    await rig.start("run")
    await wait_until(lambda: value(rig, "db") == b"v1")
    rig.token_file.write_text(token(namespace="other", lifetime=8.0))
    peer = one.live()[0]
    await wait_until(lambda: any(isinstance(message, m.Token) for message in peer.received))
    one.put("shop/db", 2, {"value": b"v2"})  # the node has not got round to judging the token
    await wait_until(lambda: peer.receipts()[-1].placed == {"shop/db": 2})
    assert value(rig, "db") == b"v2" and not (rig.mount / "@shop").is_symlink()
    one.refusal = m.Refused("token_malformed", "no token", "", 0)
    rig.token_file.write_text("rubbish")
    peer.end()
    await wait_until(lambda: rig.status().get("error") == "token_malformed")
    one.refusal = None
    one.put("shop/db", 3, {"value": b"v3"})
    rig.token_file.write_text(token())
    await wait_until(lambda: value(rig, "db") == b"v3")
    assert one.violations == []


async def test_a_killed_node_is_replaced_and_nothing_older_is_taken(rig, wait_until):
    one, two = await rig.node("safe-0"), await rig.node("safe-1")
    for node in (one, two):
        node.put("shop/db", 1, {"value": b"v1"})
    await rig.start("run")
    await wait_until(lambda: value(rig, "db") == b"v1")
    first, second = (one, two) if one.live() else (two, one)
    first.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: value(rig, "db") == b"v2")
    second.index, second.secrets["shop/db"] = first.index, first.secrets["shop/db"]
    await first.kill()
    await wait_until(second.live)
    hello = second.live()[0].wire.hello
    assert hello.have == {"shop/db": 2} and hello.index == first.index
    second.put("shop/db", 3, {"value": b"v3"})
    await wait_until(lambda: value(rig, "db") == b"v3")
    assert rig.status()["node"] == second.name


async def test_an_old_node_serves_it(rig, wait_until):
    """Version 1 as frozen bytes over real TLS: no code of today is on that end."""
    heard = []

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                heard.append(msgpack.unpackb(await reader.readexactly(size)))
                if len(heard) == 1:
                    writer.writelines(bytes.fromhex(VECTORS["node"][name]) for name in ("WELCOME", "SECRET", "SYNC"))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    rig.authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    await rig.start("run", SAFE_NODES=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await wait_until(lambda: len(heard) >= 2)
    server.close()
    (_, hello), (kind, receipt) = heard[:2]
    assert hello["versions"] == [1, 2]
    assert kind == m.Receipt.TYPE and set(receipt) == {"index", "placed", "error", "at_ms"}
    assert receipt["placed"] == {"shop/db": 1} and value(rig, "db") == b"one"


async def test_a_node_that_lost_its_memory_changes_nothing(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 5, {"value": b"v5"})
    await rig.start("run")
    await wait_until(lambda: value(rig, "db") == b"v5")
    await node.kill()
    node.index, node.secrets = 0, {}
    await node.start()
    await wait_until(lambda: rig.status().get("error") == "behind")
    assert value(rig, "db") == b"v5"
    assert rig.status()["secrets"] == {"shop/db": 5}


@pytest.mark.parametrize("version", [1, 5])
async def test_a_store_built_anew_takes_over_what_it_names(rig, wait_until, version):
    """Its index is past the old one's and its versions begin again, also at the one that is in the files."""
    node = await rig.node("safe-0")
    node.store = "one"
    node.put("shop/db", 5, {"value": b"old"})
    node.put("shop/api", 2, {"value": b"only the former has it"})
    process = await rig.start("run", SAFE_NOTIFY="none")
    await wait_until(lambda: value(rig, "api") is not None)
    await node.kill()
    node.index, node.secrets, node.store = 100, {}, "two"
    node.put("shop/db", version, {"value": b"new"})
    node.peers.clear()
    await node.start()
    await wait_until(lambda: value(rig, "db") == b"new")
    await wait_until(lambda: any(peer.receipts() for peer in node.peers))
    (peer,) = [peer for peer in node.peers if peer.receipts()]
    assert peer.wire.hello.store == "one" and peer.receipts()[-1].placed == {"shop/db": version}
    assert value(rig, "api") == b"only the former has it", "nothing was said of it"
    await wait_until(lambda: (rig.status()["former"], rig.status()["store"]) == (["shop/api"], "two"))
    process.kill()
    await process.wait()
    node.peers.clear()
    await rig.start("run")
    await wait_until(lambda: any(peer.receipts() for peer in node.peers))
    assert node.live()[0].wire.hello.have == {"shop/db": version} and node.live()[0].wire.hello.store == "two"
    assert value(rig, "api") == b"only the former has it"
    node.put("shop/api", 1, {"value": b"its own"})
    await wait_until(lambda: value(rig, "api") == b"its own")
    await wait_until(lambda: rig.status()["secrets"] == {"shop/api": 1, "shop/db": version})
    assert rig.status()["former"] == []
    node.delete("shop/api")
    await wait_until(lambda: not (rig.mount / "api").exists())


async def test_a_restart_of_the_sidecar_continues_from_the_files(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 4, {"value": b"v4"})
    process = await rig.start("run")
    await wait_until(lambda: value(rig, "db") == b"v4")
    process.kill()
    await process.wait()
    generation = os.readlink(rig.mount / "..data")
    await rig.start("run")
    await wait_until(node.live)
    await wait_until(lambda: node.live()[0].receipts())
    assert node.live()[0].wire.hello.have == {"shop/db": 4}
    assert os.readlink(rig.mount / "..data") == generation, "nothing new, nothing swapped"


async def test_a_refusal_is_reported_and_the_files_stay(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    process = await rig.start("run")
    await wait_until(lambda: value(rig, "db") == b"v1")
    node.refusal = m.Refused("token_audience", "this token is for another service", "see the docs", 0)
    for peer in node.live():
        peer.write(peer.wire.send_refused(node.refusal))
        peer.end()
    await wait_until(lambda: rig.status().get("error") == "token_audience")
    assert value(rig, "db") == b"v1"
    assert process.returncode is None


async def test_init_places_the_set_and_ends(rig):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    process = await rig.start("init", SAFE_SECRETS="shop/db")
    _, err = await process.communicate()
    assert process.returncode == 0, err
    assert value(rig, "db") == b"v1"
    check = await rig.start("check")
    assert await check.wait() == 0


async def test_init_says_which_secret_is_missing_and_why(rig):
    node = await rig.node("safe-0")
    node.denied["shop/db"] = "not_granted"
    process = await rig.start("init", SAFE_SECRETS="shop/db", SAFE_DEADLINE="1")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"shop/db (not_granted)" in err
    check = await rig.start("check")
    assert await check.wait() == 1


async def test_init_ends_when_every_node_refuses(rig):
    node = await rig.node("safe-0")
    node.refusal = m.Refused("token_expired", "the token has expired", "", 0)
    process = await rig.start("init")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"token_expired" in err


async def test_init_without_any_node_is_another_exit_code(rig):
    process = await rig.start("init", SAFE_DEADLINE="1")
    _, err = await process.communicate()
    assert process.returncode == 3
    assert b"Connection refused" in err


async def test_another_authority_is_not_believed(rig, memory):
    import trustme

    node = await rig.node("safe-0")
    trustme.CA().cert_pem.write_to_path(str(rig.ca_file))
    process = await rig.start("init", SAFE_DEADLINE="1")
    _, err = await process.communicate()
    assert process.returncode == 3
    assert b"certificate is not accepted" in err
    assert all(peer.wire.hello is None for peer in node.peers), "no token was shown to it"


async def test_a_disk_is_refused(rig):
    folder = tempfile.mkdtemp(dir=Path.home())
    try:
        process = await rig.start("run", SAFE_TARGET=folder)
        _, err = await process.communicate()
        assert process.returncode == 2
        assert b"not in memory" in err and b"write-plaintext-to-disk" in err
        assert os.listdir(folder) == []
    finally:
        os.rmdir(folder)


async def test_two_sidecars_on_one_mount_are_one_too_many(rig, wait_until):
    node = await rig.node("safe-0")
    await rig.start("run")
    await wait_until(node.live)
    second = await rig.start("run")
    _, err = await second.communicate()
    assert second.returncode == 2
    assert b"another safe-sidecar" in err


async def test_the_token_is_renewed_on_the_open_stream(rig, wait_until, token):
    node = await rig.node("safe-0")
    rig.token_file.write_text(token(lifetime=12, mark="one"))
    await rig.start("run")
    await wait_until(node.live)
    fresh = token(lifetime=3600, mark="two")
    rig.token_file.write_text(fresh)
    peer = node.live()[0]
    await wait_until(lambda: any(isinstance(got, m.Token) and got.token == fresh for got in peer.received))


async def test_a_silent_node_is_left(rig, wait_until):
    one, two = await rig.node("safe-0"), await rig.node("safe-1")
    for node in (one, two):
        node.mute, node.heartbeat_ms = True, 300
    await rig.start("run")
    await wait_until(lambda: one.live() or two.live())
    first, second = (one, two) if one.live() else (two, one)
    second.mute, second.heartbeat_ms = False, 60_000
    await wait_until(second.live)
    assert any(isinstance(got, m.Ping) for got in first.peers[0].received), "it asked before it left"


async def test_files_that_somebody_removed_are_fetched_again(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    node.put("shop/api", 1, {"value": b"a1"})
    await rig.start("run")
    await wait_until(lambda: value(rig, "api") == b"a1" and value(rig, "db") == b"v1")
    (rig.mount / "..data" / "db").unlink()
    node.put("shop/api", 2, {"value": b"a2"})
    await wait_until(lambda: value(rig, "api") == b"a2" and value(rig, "db") == b"v1")
    assert node.live()[-1].wire.hello.have == {"shop/api": 1}


async def test_memory_stays_within_its_budget(rig, wait_until):
    node = await rig.node("safe-0")
    for number in range(40):
        node.put(f"shop/s{number}", 1, {"value": os.urandom(2048)})
    # Compiling the sources costs megabytes that an installed package does not pay: the first run fills the cache.
    cache = {"PYTHONPYCACHEPREFIX": str(rig.folder / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
    first = await rig.start("init", **cache)
    assert await first.wait() == 0
    process = await rig.start("run", SAFE_NODES=f"localhost:{node.port}", **cache)
    await wait_until(lambda: node.live() and node.live()[0].receipts())
    for version in range(2, 30):
        node.put("shop/s0", version, {"value": os.urandom(1 << 20)})
        await asyncio.sleep(0.02)
    await wait_until(lambda: any(one.placed["shop/s0"] == 29 for one in node.live()[0].receipts()[-1:]))
    await wait_until(lambda: resident_kib(process.pid) <= 24 << 10)
    assert resident_kib(process.pid) > 8 << 10, "the measure itself works"


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
