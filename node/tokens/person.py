"""Somebody who has shown who he is, in the words of Kubernetes' UserInfo.

Why it exists: what a token review answers is what a subject access review asks for, unchanged.
What it refuses to do: hold the token.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A user or a service account (authentication.k8s.io/v1, UserInfo). Hashable, so that answers about him can be
    remembered. `extra`: sorted by key."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
