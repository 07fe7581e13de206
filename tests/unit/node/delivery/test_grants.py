from __future__ import annotations

from node.delivery.grants import WIDE, GrantIndex, Many, WideGrants


def test_names_by_identity():
    index = GrantIndex()
    index.put("a/exact", ("shop/web",))
    index.put("a/namespace", ("shop/*",))
    index.put("a/account", ("*/web",))
    index.put("a/all", ("*/*", "shop/web"))
    index.put("a/none", ())
    assert index.names("shop", "web") == {"a/exact", "a/namespace", "a/account", "a/all"}
    assert index.names("shop", "db") == {"a/namespace", "a/all"}
    assert index.names("x", "y") == {"a/all"}
    assert len(index) == 4 and "a/none" not in set(index)


def test_replacing_and_forgetting():
    index = GrantIndex()
    index.put("a/b", ("n/s", "n/t"))
    index.put("a/b", ("n/t", "n/u"))
    assert index.names("n", "s") == set() and index.names("n", "t") == index.names("n", "u") == {"a/b"}
    index.put("a/b", ())
    assert index.names("n", "t") == set() and len(index) == 0 and index.grants("a/b") == ()


def test_equal_grants_become_the_newest_tuple():
    index = GrantIndex()
    first, second = (tuple(f"n/{account}" for account in "st") for _ in range(2))
    assert first is not second
    index.put("a/b", first)
    index.put("a/b", second)
    assert index.grants("a/b") is second


def test_the_same_grant_twice_is_one():
    index = GrantIndex()
    index.put("a/b", ("n/s", "n/s"))
    index.put("a/b", ("n/s",))
    assert index.names("n", "s") == {"a/b"}
    index.put("a/b", ())
    assert index.names("n", "s") == set()


def test_many_forgets_words_without_members():
    many: Many[int] = Many()
    many.add("a", 1)
    many.add("a", 2)
    many.remove("a", 1)
    many.remove("a", 3)
    many.remove("b", 1)
    assert many.of(("a", "b")) == {2} and len(many) == 1
    many.remove("a", 2)
    assert len(many) == 0


def test_long_lists_become_a_set_of_exactly_this_tuple():
    wide = WideGrants()
    short = tuple(f"n/{i}" for i in range(WIDE))
    first = (*short, "n/x")
    second = (*short, "n/y")
    assert wide.of("a/b", short) is None
    made = wide.of("a/b", first)
    assert made == frozenset(first) and wide.of("a/b", first) is made
    assert wide.of("a/b", second) == frozenset(second)
    wide.drop("a/b")
    assert wide.of("a/b", first) == frozenset(first)
