from __future__ import annotations

from node.delivery.cache import IDLE_MS, FrameCache


def test_one_frame_a_name_by_exact_version():
    cache = FrameCache(100)
    cache.put("a", 1, b"x" * 10, 0)
    assert cache.get("a", 1, 0) == b"x" * 10
    assert cache.get("a", 2, 0) is None
    cache.put("a", 2, b"y" * 20, 0)
    assert cache.get("a", 1, 0) is None and cache.size == 20


def test_least_recently_used_goes_first_and_bytes_are_bounded():
    cache = FrameCache(30)
    for name in "abc":
        cache.put(name, 1, b"x" * 10, 0)
    cache.get("a", 1, 0)
    cache.put("d", 1, b"x" * 10, 0)
    assert [cache.get(name, 1, 0) is not None for name in "abcd"] == [True, False, True, True]
    assert cache.size == 30


def test_too_large_is_not_kept_and_leaves_nothing_old_behind():
    cache = FrameCache(30)
    cache.put("a", 1, b"x", 0)
    cache.put("a", 2, b"x" * 31, 0)
    assert len(cache) == 0 and cache.size == 0


def test_idle_plaintext_is_dropped():
    cache = FrameCache(100)
    cache.put("a", 1, b"x", 0)
    cache.put("b", 1, b"x", 0)
    cache.get("a", 1, IDLE_MS)
    cache.expire(IDLE_MS + 1)
    assert cache.get("b", 1, 0) is None and cache.get("a", 1, IDLE_MS) is not None
    cache.expire(0)  # a clock that was set back keeps nothing for longer
    assert len(cache) == 0 and cache.size == 0


def test_repr_shows_nothing():
    cache = FrameCache(100)
    cache.put("a", 1, b"hunter2", 0)
    assert "hunter2" not in repr(cache)
