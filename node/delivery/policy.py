"""Who may have which secret at which moment. The only place that decides it.

Why it exists: least privilege (G8) has to be readable in one minute. A workload is a namespace and a service account;
a grant is `namespace/serviceaccount`, and a part that is exactly `*` stands for any. Nothing is granted otherwise, not
even to the secret's own namespace.
What it refuses to do: read a clock, remember, match anything but a whole part (no prefixes, no globs), or repair a
grant it does not understand: such a grant matches nobody.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from sidecar.wire import codes


class Rules(Protocol):
    """The part of a record that decides who may have it."""

    @property
    def deleted(self) -> bool: ...
    @property
    def not_before_ms(self) -> int | None: ...
    @property
    def expires_ms(self) -> int | None: ...
    @property
    def grants(self) -> tuple[str, ...]: ...


def patterns(namespace: str, serviceaccount: str) -> tuple[str, str, str, str]:
    """The four grants that name this identity.

    Four equalities instead of a pattern match: there is nothing to escape, and an index can be keyed by them. An
    identity with a `*` or a `/` in it cannot come out of a verified token; it matches only `*/*` if it ever does.
    """
    if "*" in namespace or "/" in namespace or "*" in serviceaccount or "/" in serviceaccount:
        return ("*/*",) * 4
    return (f"{namespace}/{serviceaccount}", f"{namespace}/*", f"*/{serviceaccount}", "*/*")


def granted(grants: Container[str], namespace: str, serviceaccount: str) -> bool:
    """Whether one of `grants` (a tuple, or a frozenset of the same) names this identity."""
    return any(pattern in grants for pattern in patterns(namespace, serviceaccount))


def valid(record: Rules, wall_ms: int) -> str:
    """ "" if the record may be handed out at `wall_ms` (ms since the epoch) at all, else the code that says why not.

    The window is half open: valid from `not_before_ms` on, no longer at `expires_ms`.
    """
    if record.deleted:
        return codes.DELETED
    if record.not_before_ms is not None and wall_ms < record.not_before_ms:
        return codes.NOT_YET_VALID
    if record.expires_ms is not None and wall_ms >= record.expires_ms:
        return codes.EXPIRED
    return ""


def entitled(
    record: Rules | None, namespace: str, serviceaccount: str, wall_ms: int, grants: Container[str] | None = None
) -> tuple[bool, str]:
    """(True, "") if this identity may have this secret now, else (False, code).

    Codes, in this order: not_found (there is no record), not_granted, deleted, not_yet_valid, expired. The grant is
    judged first, so that nothing about the secret but its existence is told to one who may not have it.
    `grants`: the same grants in a shape that is faster to search, if the caller has one.
    """
    if record is None:
        return False, codes.NOT_FOUND
    if not granted(record.grants if grants is None else grants, namespace, serviceaccount):
        return False, codes.NOT_GRANTED
    code = valid(record, wall_ms)
    return not code, code


def next_change_ms(record: Rules | None, wall_ms: int) -> int | None:
    """The first moment after `wall_ms` at which time alone changes the answer, or None if there is none."""
    if record is None or record.deleted:
        return None
    moments = (record.not_before_ms, record.expires_ms)
    return min((at for at in moments if at is not None and at > wall_ms), default=None)
