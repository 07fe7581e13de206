"""The stable words for what went wrong, as both ends of the wire spell them.

Why it exists: a code is an interface (dashboards and scripts match on it), so it is written down once.
What it refuses to do: hold prose. The sentence that explains a code is written where the refusal happens.
"""

from __future__ import annotations

from typing import Final

INVALID: Final = "invalid"
NOT_FOUND: Final = "not_found"
NOT_GRANTED: Final = "not_granted"
NOT_YET_VALID: Final = "not_yet_valid"
EXPIRED: Final = "expired"
DELETED: Final = "deleted"
SEALED: Final = "sealed"
NO_QUORUM: Final = "no_quorum"
UNAVAILABLE: Final = "unavailable"
TOO_LARGE: Final = "too_large"
CONFLICT: Final = "conflict"
UNAUTHENTICATED: Final = "unauthenticated"
FORBIDDEN: Final = "forbidden"
TOO_MANY_REQUESTS: Final = "too_many_requests"

TOKEN_MALFORMED: Final = "token_malformed"  # noqa: S105 - codes, not tokens
TOKEN_EXPIRED: Final = "token_expired"  # noqa: S105
TOKEN_NOT_YET_VALID: Final = "token_not_yet_valid"  # noqa: S105
TOKEN_AUDIENCE: Final = "token_audience"  # noqa: S105
TOKEN_ISSUER: Final = "token_issuer"  # noqa: S105
TOKEN_SIGNATURE: Final = "token_signature"  # noqa: S105
TOKEN_KEY_UNKNOWN: Final = "token_key_unknown"  # noqa: S105
TOKEN_SUBJECT: Final = "token_subject"  # noqa: S105
TOKEN_REVOKED: Final = "token_revoked"  # noqa: S105
"""The cluster says that the token's pod or service account is gone."""

VERSION: Final = "version"
"""REFUSED: the two ends share no protocol version."""

GONE: Final = frozenset({DELETED, NOT_GRANTED, EXPIRED, NOT_YET_VALID, NOT_FOUND})
"""The reasons for which a node may order a secret removed. A client takes no other word for it."""

NO_SPACE: Final = "no_space"
"""RECEIPT: the volume of the pod is full. The last good files are still in place."""
WRITE_FAILED: Final = "write_failed"
"""RECEIPT: the volume of the pod could not be written for another reason. The last good files are in place."""
RENDER_FAILED: Final = "render_failed"
"""RECEIPT: a rendered file could not be made. The last good files, rendered and plain, are in place."""
NOT_PLACED: Final = "not_placed"
"""Status of a sidecar: a node sent this secret, and the files could not be written with it yet; `error` says why."""
BEHIND: Final = "behind"
"""REFUSED, and status of a sidecar: the node knows less than the sidecar has already seen, so nothing is taken from it.
When every node says so, the store was restored from an older backup."""
