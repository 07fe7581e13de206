from __future__ import annotations

import hashlib
import hmac
import json

from node.chain import Chain


def test_each_line_names_the_one_before_and_is_sealed_by_the_key() -> None:
    chain = Chain("safe-0.ab", b"k" * 32)
    first, second = chain.add('{"event": "x"}'), chain.add('{"event": "y"}')
    one, two = json.loads(first), json.loads(second)
    assert (one["event"], one["chain"], one["seq"], one["prev"]) == ("x", "safe-0.ab", 0, "")
    assert (two["seq"], two["prev"]) == (1, hashlib.sha256(first.encode()).hexdigest()[:32])
    before = second[: second.rindex(', "mac"')]
    assert two["mac"] == hmac.new(b"k" * 32, before.encode(), "sha256").hexdigest()[:32]
    assert chain.length == 2


def test_the_key_is_not_shown() -> None:
    assert repr(Chain("a", b"k" * 32)) == "Chain(a, 0 lines)"
