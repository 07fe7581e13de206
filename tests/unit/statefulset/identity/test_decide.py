"""Every combination of what a pod can see, and whole first starts in which pods step in any order."""

from __future__ import annotations

import dataclasses
import itertools

from hypothesis import given
from hypothesis import strategies as st

from statefulset.identity.decide import Create, Mark, Refuse, Seen, Use, decide

SEEN = [
    Seen(secret, broken, mark, data)
    for secret, broken, mark, data in itertools.product(("", "aa", "bb"), ("", "bad"), ("", "aa"), (False, True))
    if not (secret and broken)
]


def step(*values: object) -> type:
    return type(decide(Seen(*values), "raftsafe"))


def test_the_table():
    assert step("", "", "", False) is Create
    assert step("aa", "", "", False) is Mark
    assert step("aa", "", "aa", False) is Use
    # One claim is new, or all are old: the Secret is there.
    assert step("aa", "", "aa", True) is Use
    # An installation of before the ConfigMap, or a crash between the two creations.
    assert step("aa", "", "", True) is Mark


def test_an_identity_is_made_only_where_nothing_remembers_one():
    makers = [seen for seen in SEEN if isinstance(decide(seen, "n"), Create)]
    assert makers == [Seen("", "", "", False)]


def test_only_the_remembered_identity_is_used():
    for seen in SEEN:
        if isinstance(decide(seen, "n"), Use):
            assert seen.secret == seen.mark and not seen.broken


def test_every_refusal_says_what_was_lost_and_what_to_do():
    refused = [(seen, decide(seen, "team-a")) for seen in SEEN if isinstance(decide(seen, "team-a"), Refuse)]
    assert len(refused) == 9
    for seen, refusal in refused:
        assert isinstance(refusal, Refuse)
        assert "raftsafe-identity" in refusal.message and "kubectl -n team-a apply -f COPY" in refusal.hint
        assert "nothing was changed" in refusal.hint
        if seen.mark and not seen.broken:
            assert seen.mark in refusal.message


@dataclasses.dataclass
class Cluster:
    """What the API server holds. Creation takes the first of a name."""

    secret: str = ""
    mark: str = ""


@given(st.lists(st.integers(0, 4), min_size=30, max_size=60), st.lists(st.integers(0, 4), max_size=10))
def test_pods_in_any_order_end_with_one_identity(turns, deaths):
    """Each pod looks and acts in separate steps; `deaths` end a pod between the two, and it begins again."""
    cluster, seen, used = Cluster(), {}, {}
    dying = list(deaths)
    for turn in [*turns, *(pod for pod in range(5) for _ in range(8))]:
        if turn not in seen:
            seen[turn] = Seen(cluster.secret, "", cluster.mark, False)
            continue
        before = seen.pop(turn)
        if dying and dying[-1] == turn:
            dying.pop()
            continue
        match decide(before, "n"):
            case Create():
                cluster.secret = cluster.secret or f"key of {turn}"
            case Mark():
                cluster.mark = cluster.mark or before.secret
            case Use():
                used[turn] = before.secret
            case Refuse() as refusal:
                raise AssertionError(refusal)
    assert len(used) == 5 and set(used.values()) == {cluster.secret} == {cluster.mark}
