"""The real process where a pod would put it: a small tmpfs, a read-only root, a user of its own, groups, open folders.

Each test makes a mount namespace, as root or as root of a user namespace, so the machine's own mounts stay as they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidecar.wire import messages as m

SIDECAR = str(Path(sys.executable).parent / "safe-sidecar")
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


async def start(rig, prelude, command, **changes):
    """The sidecar in a mount namespace, after `prelude` has made its mounts."""
    process = await asyncio.create_subprocess_exec(
        *UNSHARE, "sh", "-euc", f"{prelude}\nexec {command}",
        env={**os.environ, **rig.environment(**changes)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    rig.processes.append(process)
    return process


ROOT = os.geteuid() == 0
USER = 54321 if ROOT else os.geteuid()
"""Whom the sidecar runs as; who is not root runs it as himself, which is just as good."""
GROUP = 2000 if ROOT else os.getegid()


def reachable(folder):
    """Shell lines that let any user reach this Python and its packages, should they lie in a folder that is closed to
    others, as a home folder is, and the one that tox makes."""
    hold, cover, show = [], [], []
    for number, place in enumerate({sys.base_prefix: 0, sys.prefix: 0}):
        closed = [each for each in reversed(Path(place).parents) if not each.stat().st_mode & 0o001]
        if not closed:
            continue
        base, holder = shlex.quote(place), shlex.quote(str(folder / f"python{number}"))
        hold.append(f"mkdir {holder}; mount --bind {base} {holder}")
        cover.append(f"mount -t tmpfs -o size=1m,mode=0755 none {shlex.quote(str(closed[0]))}")
        show.append(f"mkdir -p {base}; mount --bind {holder} {base}")
    return "".join(f"{line}\n" for line in (*hold, *dict.fromkeys(cover), *show))


def seen(process, path):
    """A file as that process sees it, None if it does not."""
    try:
        return Path(f"/proc/{process.pid}/root{path}").read_bytes()
    except OSError:
        return None


def last_receipt(node):
    nothing = m.Receipt(0, {}, "", 0)  # a loaded machine may not have sent one yet
    return next((peer.receipts()[-1] for peer in reversed(node.peers) if peer.receipts()), nothing)


async def test_a_volume_that_is_full_keeps_the_old_set_and_says_so(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    mount = shlex.quote(str(rig.mount))
    process = await start(rig, f"mount -t tmpfs -o size=256k none {mount}", f"{SIDECAR} run")
    await wait_until(lambda: seen(process, rig.mount / "db") == b"v1")
    node.put("shop/big", 1, {"value": os.urandom(400 << 10)})
    await wait_until(lambda: last_receipt(node).error == "no_space")
    assert last_receipt(node).placed == {"shop/db": 1}
    assert seen(process, rig.mount / "db") == b"v1" and seen(process, rig.mount / "big") is None
    # The status file follows the receipt.
    await wait_until(lambda: b'"no_space"' in (seen(process, rig.mount / "..status.json") or b""))
    node.put("shop/db", 2, {"value": b"v2"})
    node.delete("shop/big")
    await wait_until(lambda: seen(process, rig.mount / "db") == b"v2")
    assert last_receipt(node).error in ("", "no_space")
    await wait_until(lambda: last_receipt(node).error == "")
    for version in range(3, 60):  # each of a sixth of the volume: superseded generations make room
        node.put("shop/db", version, {"value": b"%d" % version + bytes(40 << 10)})
        await asyncio.sleep(0.01)
    await wait_until(lambda: last_receipt(node).placed == {"shop/db": 59})
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert b"is full" in err and b"the files there are kept" in err


async def test_a_volume_without_inodes_keeps_the_old_set(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    mount = shlex.quote(str(rig.mount))
    process = await start(rig, f"mount -t tmpfs -o size=1m,nr_inodes=24 none {mount}", f"{SIDECAR} run")
    await wait_until(lambda: seen(process, rig.mount / "db") == b"v1")
    node.put("shop/many", 1, {f"f{n}": b"x" for n in range(40)})
    await wait_until(lambda: last_receipt(node).error == "no_space")
    assert seen(process, rig.mount / "db") == b"v1" and seen(process, rig.mount / "many/f0") is None


async def test_what_is_revoked_leaves_a_volume_that_is_full_to_the_last_page(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"canary-3f9a"})
    node.put("shop/api", 1, {"value": b"a1"})
    mount = f"mount -t tmpfs -o size=256k none {shlex.quote(str(rig.mount))}"
    process = await start(rig, mount, f"{SIDECAR} run", SAFE_RENDER="all.env=env")
    await wait_until(lambda: b"canary" in (seen(process, rig.mount / "all.env") or b""))
    with open(f"/proc/{process.pid}/root{rig.mount}/ballast", "wb", buffering=0) as ballast:
        with pytest.raises(OSError, match="No space"):
            while True:
                ballast.write(bytes(4096))
        node.delete("shop/db")
        begin = time.monotonic()
        await wait_until(lambda: seen(process, rig.mount / "db") is None)
        print(f"gone {time.monotonic() - begin:.3f} s after the word")
        await wait_until(lambda: b"canary" not in (seen(process, rig.mount / "all.env") or b""))
        assert seen(process, rig.mount / "api") == b"a1"
        await wait_until(lambda: last_receipt(node).placed == {"shop/api": 1})
        status = rig.mount / "..status.json"
        await wait_until(lambda: json.loads(seen(process, status) or b"{}").get("secrets") == {"shop/api": 1})
    os.unlink(f"/proc/{process.pid}/root{rig.mount}/ballast")
    await wait_until(lambda: seen(process, rig.mount / "all.env") == b"API=a1\n" and last_receipt(node).error == "")


async def test_init_does_not_call_missing_what_the_volume_has_no_room_for(rig):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    mount = f"mount -t tmpfs -o size=4k none {shlex.quote(str(rig.mount))}"
    process = await start(rig, mount, f"{SIDECAR} init", SAFE_SECRETS="shop/db", SAFE_DEADLINE="1")
    _, err = await process.communicate()
    assert process.returncode == 1 and b"no_space; missing: shop/db (not_placed)" in err, err


async def test_a_volume_of_another_user_is_refused_at_the_start(rig):
    """What a node takes away could not be removed from it, and the application would go on reading it."""
    if not ROOT:
        return  # there is no other user to be
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    os.chmod(rig.folder, 0o755)
    os.chmod(rig.token_file, 0o644)
    mount = f"mount -t tmpfs -o size=1m,mode=0777 none {shlex.quote(str(rig.mount))}\n{SIDECAR} init"
    drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all"
    process = await start(rig, f"{reachable(rig.folder)}{mount}", f"{drop} {SIDECAR} run")
    _, err = await process.communicate()
    assert process.returncode == 2, err
    assert f"was written by user 0, and user {USER} could not remove".encode() in err and b"runAsUser" in err


@pytest.mark.parametrize("mode", ["run", "init"])
async def test_any_user_with_a_read_only_root(rig, wait_until, mode):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    os.chmod(rig.folder, 0o755)
    os.chmod(rig.token_file, 0o644)
    template = '[{"path": "app.conf", "format": "template", "template": "{{ secret(\'db\') }}!"}]'
    mount = shlex.quote(str(rig.mount))
    prelude = reachable(rig.folder) + (
        f"mount -t tmpfs -o size=1m,mode=0777 none {mount}\n"
        "awk '{print $2}' /proc/mounts | while read -r at; do "
        f'[ "$at" = {mount} ] || mount -o remount,ro,bind "$at" 2>/dev/null || :; done\n'
        "! touch /tmp/raftsafe-test 2>/dev/null"
    )
    drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all" if ROOT else ""
    command = f"{drop} {SIDECAR} {mode}"
    process = await start(rig, prelude, command, SAFE_RENDER=template)
    if mode == "init":
        _, err = await process.communicate()
        assert process.returncode == 0, err
        return
    await wait_until(lambda: seen(process, rig.mount / "app.conf") == b"v1!")
    assert os.stat(f"/proc/{process.pid}/root{rig.mount}/db").st_uid == USER
    node.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: seen(process, rig.mount / "app.conf") == b"v2!")
    process.send_signal(signal.SIGTERM)
    assert (await process.communicate())[1] and process.returncode == 0


async def test_the_group_of_the_volume_is_handed_down_as_with_fsgroup(rig, wait_until):
    """The kubelet makes an emptyDir setgid and of the group fsGroup; the sidecar's own group is another."""
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"user": b"u", "password": b"p"})
    os.chmod(rig.folder, 0o755)
    os.chmod(rig.token_file, 0o644)
    mount = shlex.quote(str(rig.mount))
    prelude = reachable(rig.folder) + f"mount -t tmpfs -o size=1m,mode=2777,gid={GROUP if ROOT else 0} none {mount}"
    drop = f"setpriv --reuid {USER} --regid {USER} --groups {GROUP}" if ROOT else ""
    command = f"{drop} {SIDECAR} run"
    process = await start(rig, prelude, command, SAFE_FILE_MODE="0440", SAFE_RENDER="conf/app.env=env")
    await wait_until(lambda: seen(process, rig.mount / "conf/app.env"))
    for path in ("db/user", "db", "conf/app.env"):
        found = os.stat(f"/proc/{process.pid}/root{rig.mount}/{path}")
        assert found.st_gid == GROUP, path
    if not ROOT:
        return  # there is no other user to read as
    reader = f"nsenter -t {process.pid} -m setpriv --reuid 777 --regid 777 --groups {{}} cat {rig.mount}/db/user"
    assert subprocess.run(reader.format(2000).split(), capture_output=True, check=True).stdout == b"u"
    assert subprocess.run(reader.format(2001).split(), capture_output=True, check=False).returncode != 0


async def test_a_group_that_was_asked_for(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    await rig.start("run", SAFE_FILE_GROUP=str(GROUP), SAFE_FILE_MODE="0440")
    await wait_until(lambda: (rig.mount / "db").exists())
    assert ((rig.mount / "db").stat().st_gid, (rig.mount / "..data").stat().st_gid) == (GROUP, GROUP)


async def test_a_group_that_it_may_not_set_is_refused_at_the_start(rig):
    """Before a node is dialled: there is none here."""
    os.chmod(rig.folder, 0o755)
    os.chmod(rig.token_file, 0o644)
    prelude = reachable(rig.folder) + f"mount -t tmpfs -o size=1m,mode=0777 none {shlex.quote(str(rig.mount))}"
    drop = f"setpriv --reuid {USER} --regid {USER} --clear-groups --bounding-set=-all" if ROOT else ""
    group = str(GROUP if ROOT else 2**31 - 2)
    process = await start(rig, prelude, f"{drop} {SIDECAR} run", SAFE_FILE_GROUP=group, SAFE_NODES="127.0.0.1:1")
    _, err = await process.communicate()
    assert process.returncode == 2 and f"SAFE_FILE_GROUP {group} cannot be given".encode() in err, err
    assert b"supplementalGroups" in err


async def test_an_application_that_stands_in_the_folder_sees_the_new_files(rig, wait_until):
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    node.put("shop/api", 1, {"user": b"u1"})
    await rig.start("run")
    await wait_until(lambda: (rig.mount / "db").exists())
    script = "while :; do cat db api/user; echo; sleep 0.05; done"
    inside = await asyncio.create_subprocess_exec("sh", "-c", script, cwd=rig.mount, stdout=asyncio.subprocess.PIPE)
    rig.processes.append(inside)
    held = os.open(rig.mount, os.O_RDONLY)
    try:
        assert await asyncio.wait_for(inside.stdout.readline(), 20) == b"v1u1\n"
        node.put("shop/db", 2, {"value": b"v2"})
        while (line := await asyncio.wait_for(inside.stdout.readline(), 20)) != b"v2u1\n":
            assert line == b"v1u1\n"
        with open(os.open("db", os.O_RDONLY, dir_fd=held), "rb") as file:
            assert file.read() == b"v2"
    finally:
        os.close(held)


async def test_an_init_container_and_a_classic_sidecar_after_it(rig, wait_until):
    """Two processes, one after the other, on the same volume: the second has nothing to fetch, and tells nobody."""
    node = await rig.node("safe-0")
    node.put("shop/db", 1, {"value": b"v1"})
    first = await rig.start("init")
    assert await first.wait() == 0
    told = rig.folder / "pid"
    told.write_text("1")
    await rig.start("run", SAFE_NOTIFY=f"signal HUP {told} debounce=0.1 retries=0")
    await wait_until(lambda: node.live() and node.live()[0].receipts())
    assert node.live()[0].wire.hello.have == {"shop/db": 1}
    node.put("shop/db", 2, {"value": b"v2"})
    await wait_until(lambda: last_receipt(node).report.notify_failed == 1)
    assert "does not hold the number" in last_receipt(node).report.notify


@pytest.mark.parametrize("code", ["not_found", "not_granted", "not_yet_valid", "expired", "deleted"])
async def test_init_says_why_in_the_nodes_own_word(rig, code):
    node = await rig.node("safe-0")
    node.denied["shop/db"] = code
    node.put("shop/other", 1, {"value": b"x"})
    process = await rig.start("init", SAFE_SECRETS="shop/db,shop/other", SAFE_DEADLINE="1", SAFE_RENDER="x=env:db")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert f"shop/db ({code})".encode() in err.splitlines()[-1], err
