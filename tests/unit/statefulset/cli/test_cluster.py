"""Putting together what several nodes know."""

from __future__ import annotations

import itertools

import pytest

from statefulset.cli.client import Answer
from statefulset.cli.cluster import merged, split
from statefulset.cli.errors import AWAY, CliError
from statefulset.cli.rounds import Failure


def receipt(pod: str, node: str, since_ms: int, connected: bool):
    return {
        "namespace": "a",
        "serviceaccount": "x",
        "pod": pod,
        "node": node,
        "since_ms": since_ms,
        "connected": connected,
    }


def test_a_pod_that_moved_is_shown_where_it_is_connected():
    old, new, other = (
        receipt("p", "safe-0", 900, False),
        receipt("p", "safe-1", 100, True),
        receipt("o", "safe-0", 1, True),
    )
    for order in itertools.permutations((old, new, other)):
        assert merged(order) == [other, new]


def test_of_several_memories_the_newest_counts():
    early, late = receipt("p", "safe-0", 100, False), receipt("p", "safe-1", 200, False)
    assert merged([late, early]) == merged([early, late]) == [late]


def test_who_did_not_answer_is_kept_and_nobody_at_all_is_an_error():
    failure = Failure("unreachable", "https://b:1", "connection refused")
    answers, failures = split([Answer({}, False, "https://a:1"), failure])
    assert len(answers) == 1 and failures == [failure]
    with pytest.raises(CliError) as caught:
        split([failure])
    assert caught.value.exit_code == AWAY
