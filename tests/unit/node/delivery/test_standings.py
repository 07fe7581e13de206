from __future__ import annotations

from sidecar.wire import messages as m


async def standings(site, name):
    return {one.pod: (one.version, one.reason) async for one in site.server.rollout(site.source.get(name))}


async def test_where_the_pods_stand(site, monkeypatch, eventually):
    monkeypatch.setattr("node.delivery.standings.SLICE", 2)
    site.put("shop/db", b"1", grants=("shop/web",))
    clients = {name: await site.join(f"shop/web/{name}") for name in ("a", "b", "c", "d", "e")}
    other = await site.join("shop/other/x")
    for client in (*clients.values(), other):
        await client.until(lambda client=client: client.full)
    for client in clients.values():
        client.send(client.protocol.send_receipt(m.Receipt(2, client.versions(), "", 1)))
    await eventually(lambda: all(receipt.placed for receipt in site.server.receipts() if receipt.pod != "x"))
    site.put("shop/db", b"2")
    for name in ("a", "b", "d"):
        client = clients[name]
        await client.until(lambda client=client: client.versions() == {"shop/db": 2})
        client.send(client.protocol.send_receipt(m.Receipt(3, client.versions(), "", 1)))
    clients["d"].close()
    clients["e"].send(clients["e"].protocol.send_bye())
    await eventually(lambda: site.server.stats()["subscribers"] == 4)
    assert await standings(site, "shop/db") == {"a": (2, ""), "b": (2, ""), "c": (1, "behind"), "d": (2, "")}
    clients["c"].close()
    await eventually(lambda: site.server.stats()["subscribers"] == 3)
    assert (await standings(site, "shop/db"))["c"] == (1, "disconnected")
    again = await site.join("shop/web/c", have={"shop/db": 1}, instance="j", index=2)
    await again.until(lambda: again.full)
    again.send(again.protocol.send_receipt(m.Receipt(3, again.versions(), "", 1)))
    await eventually(lambda: all(receipt.connected for receipt in site.server.receipts() if receipt.pod == "c"))
    assert list(await standings(site, "shop/db")).count("c") == 1


async def test_pods_that_move_while_it_is_asked_are_there_once(site, monkeypatch, eventually):
    monkeypatch.setattr("node.delivery.standings.SLICE", 1)
    site.put("shop/db", b"1", grants=("shop/web",))
    leaving, gone = await site.join("shop/web/leaving", instance="1"), await site.join("shop/web/gone")
    staying = await site.join("shop/web/staying")
    for client in (leaving, gone, staying):
        await client.until(lambda client=client: client.full)
    gone.close()
    await eventually(lambda: site.server.stats()["subscribers"] == 2)
    found = []
    async for one in site.server.rollout(site.source.get("shop/db")):
        found.append(one.pod)
        if len(found) == 1:  # the first is told: it goes, the one that was gone comes back, the second goes untold
            await site.join("shop/web/gone", instance="9")
            leaving.close()
            staying.close()
            await eventually(lambda: site.server.stats()["subscribers"] == 1)
    assert sorted(found) == ["gone", "leaving", "staying"]


async def test_two_sidecars_of_one_pod_do_not_hide_each_other(site, eventually):
    for name in ("shop/one", "shop/two"):
        site.put(name, b"1", grants=("shop/web",))
    first = await site.join("shop/web/twins", instance="1", want=("shop/one",))
    second = await site.join("shop/web/twins", instance="2", want=("shop/two",))
    for client in (first, second):
        await client.until(lambda client=client: client.full)
    for name in ("shop/one", "shop/two"):
        assert await standings(site, name) == {"twins": (None, "behind")}
    third = await site.join("shop/web/twins", instance="3", want=("shop/two",))
    await third.until(lambda: third.full)
    second.send(second.protocol.send_receipt(m.Receipt(5, second.versions(), "", 1)))
    await eventually(lambda: any(receipt.placed for receipt in site.server.receipts()))
    assert await standings(site, "shop/two") == {"twins": (None, "behind")}, "one of them has it"
    third.send(third.protocol.send_receipt(m.Receipt(5, third.versions(), "", 1)))
    await eventually(lambda: sum(1 for receipt in site.server.receipts() if receipt.placed) == 2)
    assert await standings(site, "shop/two") == {"twins": (1, "")}
