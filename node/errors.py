"""The one small tree of errors.

Why it exists: a caller must know, without reading prose, whose fault it was and what to do next (G9). Three kinds:
Rejected (the caller's fault; nothing changed), Retry (not now; try again after a hint) and Fatal (state is not what
it must be; the process stops rather than continue).
What it refuses to do: carry a secret value. Messages are built from names, sizes and codes only.
"""

from __future__ import annotations


class SafeError(Exception):
    """Root of the tree. `code` is stable and machine-readable, `message` is one sentence, `hint` says what to do."""

    code = "internal"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.hint = hint


class Rejected(SafeError):
    """The caller's fault. Codes: invalid, not_found, not_granted, not_yet_valid, expired, deleted, too_large,
    conflict, unauthenticated, forbidden, method_not_allowed, key_reused."""

    code = "invalid"


class Retry(SafeError):
    """Not now. Codes: no_quorum, unavailable, too_many_requests, sealed. `after` is the hint in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", after: float = 0.5) -> None:
        super().__init__(message, code=code, hint=hint)
        self.after = after


class Fatal(SafeError):
    """Broken state: stop this process, loudly. The message says what to restore or check."""

    code = "fatal"
