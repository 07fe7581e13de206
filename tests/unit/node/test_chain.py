from __future__ import annotations

import hashlib
import hmac
import json

from node.chain import Chain, Place, hash_of, last


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


def test_the_last_line_of_a_file_is_known_by_its_place() -> None:
    chain = Chain("safe-0.ab", b"k" * 32)
    lines = [chain.add('{"event": "x"}').encode() for _ in range(3)]
    place = Place("safe-0.ab", 2, hash_of(lines[2]))
    whole = b"\n".join(lines)
    assert last(whole + b"\n") == place
    # Neither a torn line nor one of somebody else's is it, nor the rest of one at the beginning.
    assert last(whole[9:] + b'\n{"event": "y", "ch\n[1]\n{"seq": 7}\n{"chain": "a", "seq": true}\n') == place
    assert json.loads(chain.add('{"event": "x"}'))["prev"] == place.hash
    assert last(b"") is None and last(b"\xff\n" + b"[" * 100_000) is None
