from __future__ import annotations

import pytest

from node.delivery.frames import RETRY_MS, RETRY_NAMES, SecretFrames
from sidecar.wire import messages as m
from sidecar.wire.frames import FrameReader


@pytest.fixture
def opener(world):
    return world.opener


@pytest.fixture
def frames(opener):
    return SecretFrames(opener, 1 << 20)


def test_opened_once_for_all(world, frames, opener):
    record = world.source.put("a/b", b"v")
    first, trouble = frames.get(record, 0)
    assert frames.get(record, 0)[0] is first and trouble == "" and opener.opened == ["a/b"]
    ((kind, body),) = FrameReader().feed(first)
    assert m.FROM_NODE[kind].from_body(body) == m.Secret("a/b", 1, 1, {"value": b"v"})
    assert frames.cached == len(first)
    frames.changed("a/b", record)
    assert frames.cached == 0


def test_failure_is_said_once_and_not_tried_for_everybody(world, frames, opener):
    record = world.source.put("a/b", b"v")
    opener.broken.add("a/b")
    assert frames.get(record, 0) == (None, "ValueError")
    assert frames.get(record, 0) == (None, "") and len(opener.opened) == 1
    assert frames.sealed() == ("a/b",) and frames.failures == 1


def test_tried_again_after_a_while_and_then_good(world, frames, opener):
    record = world.source.put("a/b", b"v")
    opener.broken.add("a/b")
    frames.get(record, 0)
    assert frames.tick(1) == ["a/b"] and frames.tick(2) == []
    frames.changed("a/b", record)
    assert frames.get(record, 2) == (None, "") and frames.failures == 2
    opener.broken.clear()
    assert frames.tick(1 + RETRY_MS) == ["a/b"]
    frames.changed("a/b", record)
    assert frames.get(record, 3)[0] is not None and frames.sealed() == ()


def test_a_new_version_is_tried_at_once_and_its_failure_said(world, frames, opener):
    opener.broken.add("a/b")
    frames.get(world.source.put("a/b", b"v"), 0)
    assert frames.get(world.source.put("a/b", b"w"), 0) == (None, "ValueError")


def test_retries_take_turns(world, frames, opener):
    records = [world.source.put(f"a/b{i}", b"v") for i in range(RETRY_NAMES + 10)]
    opener.broken.update(record.name for record in records)
    for record in records:
        frames.get(record, 0)
    first, second = frames.tick(1), frames.tick(1 + RETRY_MS)
    assert len(first) == len(second) == RETRY_NAMES and set(first) | set(second) == opener.broken


def test_deleted_and_purged_are_forgotten(world, frames, opener):
    opener.broken.update({"a/b", "a/c"})
    frames.get(world.source.put("a/b", b"v"), 0)
    frames.get(world.source.put("a/c", b"v"), 0)
    frames.changed("a/b", None)
    frames.changed("a/c", world.source.put("a/c", deleted=True))
    assert frames.sealed() == ()


def test_a_value_no_frame_can_carry_counts_as_sealed(world, frames):
    record = world.source.put("a/b", b"v" * (2 << 20))
    assert frames.get(record, 0) == (None, "ProtocolError")
