"""Which secrets each grant names, and who follows which grant: the two indices of the hub.

Why it exists: with 100 000 secrets and 10 000 sidecars, neither a new sidecar nor a change may cost a scan.
What it refuses to do: decide. An index may be a moment behind the store; only policy.entitled on the record of this
very moment lets a secret out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from node.delivery.policy import patterns

Member = TypeVar("Member", bound=Hashable)

WIDE: Final = 16
"""Grants beyond which a frozenset is faster to search than the tuple."""


class Many(Generic[Member]):
    """A map from a word to a set of members, which forgets words without members."""

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets: dict[str, set[Member]] = {}

    def add(self, word: str, member: Member) -> None:
        self._sets.setdefault(word, set()).add(member)

    def remove(self, word: str, member: Member) -> None:
        members = self._sets.get(word)
        if members is not None:
            members.discard(member)
            if not members:
                del self._sets[word]

    def of(self, words: Iterable[str]) -> set[Member]:
        """Everything under any of `words`, as a new set."""
        return set().union(*(self._sets[word] for word in words if word in self._sets))

    def __len__(self) -> int:
        return len(self._sets)


class GrantIndex:
    """Grants of every secret the hub has seen, deleted ones included, by name and by grant."""

    __slots__ = ("_by_grant", "_grants")

    def __init__(self) -> None:
        self._grants: dict[str, tuple[str, ...]] = {}
        self._by_grant: Many[str] = Many()

    def __len__(self) -> int:
        return len(self._grants)

    def __iter__(self) -> Iterator[str]:
        return iter(self._grants)

    def grants(self, name: str) -> tuple[str, ...]:
        """As last put; () for a name never put or purged."""
        return self._grants.get(name, ())

    def put(self, name: str, grants: tuple[str, ...]) -> None:
        """Replaces the grants of `name`; () forgets it."""
        old = self._grants.get(name, ())
        if old == grants:
            if grants:
                self._grants[name] = grants  # the store's own tuple, so that the next comparison is one of identity
            return
        for grant in set(old) - set(grants):
            self._by_grant.remove(grant, name)
        for grant in set(grants) - set(old):
            self._by_grant.add(grant, name)
        if grants:
            self._grants[name] = grants
        else:
            self._grants.pop(name, None)

    def names(self, namespace: str, serviceaccount: str) -> set[str]:
        """What is granted to an identity, by name: at most what it may have, as validity is not looked at."""
        return self._by_grant.of(patterns(namespace, serviceaccount))


class WideGrants:
    """Long lists of grants as sets, made once for all subscribers of a secret."""

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}

    def of(self, name: str, grants: tuple[str, ...]) -> frozenset[str] | None:
        """None if the tuple is short enough to be searched as it is. Valid for exactly this tuple: a set made from
        another one, equal or not, is not used."""
        if len(grants) <= WIDE:
            return None
        known = self._sets.get(name)
        if known is None or known[0] is not grants:
            known = self._sets[name] = (grants, frozenset(grants))
        return known[1]

    def drop(self, name: str) -> None:
        self._sets.pop(name, None)
