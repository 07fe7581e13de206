"""The shapes delivery asks for are what the real neighbours have: the real store and keyring behind the real hub."""

from __future__ import annotations

import pytest

from node.crypto.keyring import Keyring
from node.crypto.rootkey import RootKey
from node.delivery.hub import Hub
from node.delivery.subscriber import Send, Subscription
from node.store import commands
from node.store.fsm import Store
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader


class Node:
    """A store and a keyring as one node has them, and the log that feeds them."""

    def __init__(self) -> None:
        self.root = RootKey(b"k" * 32)
        self.keyring = Keyring(self.root, "test")
        self.store = Store()
        self.hub = Hub(self.store, self.keyring, "safe-0")
        self.rid = 0
        self.apply(commands.AddKey, generation=1, wrapped=self.keyring.new_key(1))
        self.keyring.absorb(self.store.keys)

    def apply(self, kind, **fields) -> None:
        self.rid += 1
        command = kind(rid=self.rid.to_bytes(16, "big"), t=1000, actor="test", **fields)
        self.store.apply(self.store.index + 1, commands.encode(command))

    def put(self, name: str, value: bytes, **more) -> None:
        write_id = b"w%015d" % self.rid
        generation, sealed = self.keyring.seal_value(name, write_id, {"value": value})
        sizes = (("value", len(value)),)
        self.apply(
            commands.Put, name=name, fields=sizes, generation=generation, write_id=write_id, sealed=sealed, **more
        )

    def join(self, **asked) -> int:
        return self.hub.subscribe(Subscription("shop", "web", "p", "i", **asked), 0)[0]

    def sent(self) -> list[m.NodeMessage]:
        self.hub.collect()
        messages = []
        while self.hub.busy:
            for action in self.hub.work(5000, applied=self.store.index):
                if not isinstance(action, Send):
                    continue
                ((kind, body),) = FrameReader().feed(action.frame)
                messages.append(m.FROM_NODE[kind].from_body(body))
        return messages


@pytest.fixture
def node():
    return Node()


def test_put_delete_undelete_purge_through_the_real_store(node):
    node.join()
    node.put("shop/db", b"one", grants=("shop/web",))
    node.put("shop/no", b"no", grants=("shop/worker",))
    secret, sync = node.sent()
    assert secret == m.Secret("shop/db", 1, secret.index, {"value": b"one"})
    assert sync == m.Sync(node.store.index, False, True)
    node.put("shop/db", b"two")
    assert node.sent()[0].fields == {"value": b"two"}
    node.apply(commands.Delete, name="shop/db")
    assert node.sent()[0] == m.Gone("shop/db", "deleted")
    node.apply(commands.Undelete, name="shop/db")
    undeleted = node.sent()[0]
    assert undeleted.fields == {"value": b"two"} and undeleted.version >= 2
    node.apply(commands.Delete, name="shop/db")
    node.sent()
    node.apply(commands.Purge, name="shop/db")
    node.sent()
    node.put("shop/db", b"three", grants=("shop/web",))
    reborn = node.sent()[0]
    assert reborn.fields == {"value": b"three"} and reborn.version > undeleted.version


def test_grants_and_windows_through_the_real_store(node):
    node.put("shop/db", b"one")
    node.join()
    assert node.sent() == [m.Sync(node.store.index, False, True)]
    node.apply(commands.Grant, name="shop/db", grants=("*/web",))
    assert isinstance(node.sent()[0], m.Secret)
    node.apply(commands.PatchMeta, name="shop/db", expires_ms=4000)
    assert node.sent()[0] == m.Gone("shop/db", "expired")
    node.apply(commands.PatchMeta, name="shop/db", expires_ms=None)
    assert isinstance(node.sent()[0], m.Secret)
    node.apply(commands.Revoke, name="shop/db", grants=("*/web",))
    assert node.sent()[0] == m.Gone("shop/db", "not_granted")


def test_a_snapshot_that_is_adopted_is_delivered_as_the_difference(node):
    node.put("shop/kept", b"one", grants=("shop/web",))
    node.put("shop/gone", b"one", grants=("shop/web",))
    node.join()
    assert len(node.sent()) == 3
    newer = Store()
    newer.adopt(Store.load(list(node.store.capture())))
    rid = b"r" * 16
    newer.apply(newer.index + 1, commands.encode(commands.Delete(rid=rid, t=1, actor="x", name="shop/gone")))
    newer.apply(newer.index + 1, commands.encode(commands.Purge(rid=rid[::-1], t=1, actor="x", name="shop/gone")))
    node.store.adopt(Store.load(list(newer.capture())))
    assert [type(message).__name__ for message in node.sent()] == ["Gone", "Sync"]


def test_without_the_data_key_the_value_is_sealed_and_comes_when_the_key_does(node):
    node.put("shop/db", b"one", grants=("shop/web",))
    keyring, node.hub = Keyring(node.root, "test"), None
    node.hub = Hub(node.store, keyring, "safe-0")
    node.hub.rebuild()
    node.join()
    node.hub.collect()
    node.hub.work(5000)
    node.hub.work(5000)
    assert node.hub.sealed() == ("shop/db",)
    keyring.absorb(node.store.keys)
    node.hub.tick(5000)
    secret, _ = node.sent()
    assert secret.fields == {"value": b"one"} and node.hub.sealed() == ()
