"""What is written during a run, and which pod has what of it.

Why it exists: processes on this machine and pods of a cluster get the same load: a set of fields that belong together,
a secret that all pods have, and one for each pod alone.
What it refuses to do: grant anything to anybody outside the namespace of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from statefulset.chaos.history import Secret

FIELDS: Final = ("user", "password", "host", "ca")
PERIODS: Final = (0.4, 0.6, 0.3)
"""Mean seconds between two writes of the set, of the common secret, and of one of those that a single pod has."""


@dataclasses.dataclass(frozen=True)
class Share:
    """What one writer rotates, so that the writes of a secret have an order. `period`: see PERIODS."""

    period: float
    secrets: tuple[Secret, ...]


def of_pod(namespace: str, pod: str) -> tuple[Secret, ...]:
    """What the pod named `pod`, whose service account has its name, is given."""
    return (
        Secret(f"{namespace}/set", FIELDS, (f"{namespace}/*",)),
        Secret(f"{namespace}/common", ("value",), (f"{namespace}/*",)),
        Secret(f"{namespace}/own-{pod}", ("value",), (f"{namespace}/{pod}",)),
    )


def shares(namespace: str, pods: Sequence[str]) -> tuple[Share, ...]:
    """For `pods`, at least one."""
    together, common, _ = of_pod(namespace, pods[0])
    own = tuple(of_pod(namespace, pod)[2] for pod in pods)
    return tuple(map(Share, PERIODS, ((together,), (common,), own)))
