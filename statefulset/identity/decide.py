"""What a starting pod does about the identity of its store: pure, from what it sees to the next step.

Why it exists: a root key made anew over existing data is the loss of every secret, and made twice at a first start it
is two stores. Three witnesses say whether there has been an identity: the Secret that holds it, a ConfigMap that
remembers which it was, and the pod's own volume.
What it refuses to do: make an identity when any of them says that there was one, or use one that is not the one
remembered.
"""

from __future__ import annotations

import dataclasses
from typing import Final

NAME: Final = "raftsafe-identity"
"""Of the Secret and of the ConfigMap; named in statefulset/base/rbac/node.yaml too."""
FILES: Final = ("root.key", "seal.key", "peer-ca.key", "peer-ca.crt", "server-ca.key", "server-ca.crt")
"""Keys of the Secret: the files of a node's identity folder."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """`secret`: id of the root key in the Secret, "" when there is no Secret. `broken`: why it is not a whole
    identity, "" when it is. `mark`: id of the root key that the ConfigMap remembers, "" when there is none. `data`:
    whether a node has written to this pod's volume."""

    secret: str
    broken: str
    mark: str
    data: bool


@dataclasses.dataclass(frozen=True)
class Create:
    """Make an identity and offer it to the API server as the Secret; then look again, somebody may have been first."""


@dataclasses.dataclass(frozen=True)
class Mark:
    """Remember the Secret's root key in the ConfigMap; then look again."""


@dataclasses.dataclass(frozen=True)
class Use:
    """Write the Secret's files for the node."""


@dataclasses.dataclass(frozen=True)
class Refuse:
    """Stop, and say this."""

    message: str
    hint: str


Step = Create | Mark | Use | Refuse


def decide(seen: Seen, namespace: str) -> Step:
    """The next step of a pod in `namespace`."""
    restore = f"restore the Secret from your copy (kubectl -n {namespace} apply -f COPY); nothing was changed or wiped"
    if seen.broken:
        return Refuse(f"the Secret {NAME} is not a whole identity: {seen.broken}", restore)
    if not seen.secret:
        if seen.mark:
            return Refuse(
                f"the Secret {NAME} is gone; the store was made with root key {seen.mark}",
                f"{restore}. To give up every secret of the store instead, delete the ConfigMap {NAME} and the claims "
                "of its pods",
            )
        if seen.data:
            return Refuse(
                f"the Secret {NAME} is gone, and this pod's volume holds data that needs it",
                f"{restore}. To give up every secret of the store instead, empty or replace the volumes of its pods",
            )
        return Create()
    if not seen.mark:
        return Mark()
    if seen.mark != seen.secret:
        return Refuse(
            f"the Secret {NAME} holds root key {seen.secret}; the store was made with root key {seen.mark}",
            f"{restore}. To give up every secret of the store instead, delete the ConfigMap {NAME} and the claims "
            "of its pods",
        )
    return Use()
