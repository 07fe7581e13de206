"""Capture: fixed at the call, small chunks, canonical bytes."""

from __future__ import annotations

import threading
from typing import Any

import msgpack

from node.store import commands as c
from node.store.fsm import Store
from node.store.snapshot import BYTES, ROWS


def fill(log: Any) -> None:
    log.do(log.key(1))
    log.do(log.key(3))
    for number in range(600):
        log.do(log.put(f"n{number % 7}/s{number}", grants=("x/y",), not_before_ms=number))
    for number in range(0, 600, 3):
        log.do(log.put(f"n{number % 7}/s{number}"))
        log.do(log.make(c.Purge if number % 2 else c.Delete, f"n{number % 7}/s{number}"))


def test_a_loaded_state_is_the_same_in_every_byte(log: Any) -> None:
    fill(log)
    chunks = list(log.store.capture())
    other = Store()
    other.adopt(Store.load(iter(chunks)))
    assert list(other.capture()) == chunks
    assert other.list(limit=1000) == log.store.list(limit=1000) and other.keys == log.store.keys
    assert (len(other), other.index, other.tombstones) == (len(log.store), log.store.index, log.store.tombstones)
    assert other.stored_bytes == log.store.stored_bytes


def test_the_capture_is_of_the_moment_of_the_call(log: Any) -> None:
    fill(log)
    expected = list(log.store.capture())
    later, seen = log.store.capture(), []
    done = threading.Event()

    def consume() -> None:
        for chunk in later:
            seen.append(chunk)
            done.wait(0.0005)

    thread = threading.Thread(target=consume)
    thread.start()
    number = 0
    while thread.is_alive() or not number:
        number += 1
        log.do(log.put(f"n{number % 7}/s{number % 800}", grants=()))
        log.do(log.make(c.Purge, f"n{number % 7}/s{number % 800}"))
        log.do(log.key(1000 + number))
    thread.join()
    assert seen == expected and list(log.store.capture()) != expected


def test_chunks_are_small(log: Any) -> None:
    for number in range(ROWS * 2):
        log.do(log.put(f"a/s{number}", sealed=b"x"))
    for _ in range(12):
        log.do(log.put("a/large", sealed=bytes(c.MAX_SEALED)))
    for number in range(8):
        log.do(log.put(f"a/medium{number}", sealed=bytes(BYTES // 3)))
    header, *chunks = log.store.capture()
    assert msgpack.unpackb(header)["format"] == 1
    assert max(map(len, chunks)) < BYTES + c.MAX_SEALED + 1024
    assert max(len(msgpack.unpackb(chunk)) for chunk in chunks) == ROWS


def test_equal_texts_are_one_object_after_loading(log: Any) -> None:
    for name in ("a/b", "a/c"):
        log.do(log.put(name, grants=("namespace/account",), fields=(("some-field", 1),)))
    other = Store()
    other.adopt(Store.load(log.store.capture()))
    one, two = other.list()
    assert one.grants[0] is two.grants[0] and one.fields[0][0] is two.fields[0][0]


def test_the_floor_survives(make_log: Any) -> None:
    log = make_log(tombstones=0)
    log.do(log.put())
    log.do(log.put())
    log.do(log.make(c.Purge))
    other = make_log()
    other.store.adopt(Store.load(log.store.capture()))
    assert other.version(log.put()) == log.version(log.put()) == 3
