"""What may be called what: names of secrets, fields and namespaces, and how many of each one pod may hold.

Why it exists: a name becomes a path in the pod, so both ends check it by the same few lines.
What it refuses to do: repair a name. It is good or it is refused.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_SECRET = re.compile(rf"{_LABEL}/[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?")
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")

MAX_SECRETS: Final = 2048
"""Secrets one sidecar may hold: 2048 of the longest names (317 bytes) with versions still fit one HELLO frame."""
MAX_FIELDS: Final = 64
MAX_SECRET_BYTES: Final = 1 << 20
"""Sum of the values of one secret, as the store limits it."""
PLAIN_FIELD: Final = "value"
"""A secret whose only field has this name is a plain value: one file, no folder."""


def is_namespace(text: str) -> bool:
    """A DNS label: 1 to 63 of [a-z0-9-], a letter or digit at both ends."""
    return _NAMESPACE.fullmatch(text) is not None


def is_secret(text: str) -> bool:
    """`namespace/name`, at most 63 + 1 + 253 characters."""
    return _SECRET.fullmatch(text) is not None and ".." not in text


def is_field(text: str) -> bool:
    """1 to 253 of [A-Za-z0-9._-], starting with a letter or digit, without `..`."""
    return _FIELD.fullmatch(text) is not None and ".." not in text
