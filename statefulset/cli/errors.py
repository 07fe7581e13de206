"""How a command of the CLI fails: an exit code a script can act on, a stable code, a sentence and what to do next.

Why it exists: exit 0 means done, and nothing else does. What it refuses to do: hold a value or a token.
"""

from __future__ import annotations

import re
from typing import Final

DONE: Final = 0
REFUSED: Final = 1
"""The store answered and refused (invalid, conflict, not found, forbidden ...): repeating it changes nothing."""
USAGE: Final = 2
"""The command line, a file or a setting is wrong: nothing was sent."""
INTERRUPTED: Final = 130
"""Ctrl-C or Ctrl-D at a prompt, as shells have it: nothing was sent."""
AWAY: Final = 3
"""No node could do it now (no quorum, unavailable, cannot connect): repeating it later may help."""


class CliError(Exception):
    """`exit_code` is one of the constants above; `code` is stable; `hint` says what to do next."""

    def __init__(self, message: str, *, code: str, exit_code: int, hint: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit_code = exit_code
        self.hint = hint
        self.request_id = request_id

    def as_json(self) -> dict[str, object]:
        """What --json prints on standard error."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "request_id": self.request_id,
                "exit_code": self.exit_code,
            }
        }


_OPTIONS: Final = {
    "not_before_ms": "not-before",
    "expires_ms": "expires",
    "if_version": "if-version",
    "keep_window": "keep-window",
}
_KEYS: Final = re.compile(rf"\b(?:{'|'.join(_OPTIONS)})\b")
_LOCAL: Final = "?consistency=local (safe: --local)"
_BESIDE: Final = re.compile(r" \(with `safe`: [^)]*\)$")
"""What a node adds for us, and is said here already."""


def spoken(text: str, mark: str = "--") -> str:
    """What a node says of the keys of a request, in the words of who typed options; `mark`: what they begin with."""
    text = _BESIDE.sub("", text).replace(_LOCAL, "--local")
    return _KEYS.sub(lambda found: mark + _OPTIONS[found.group()], text)


def usage(message: str, hint: str = "") -> CliError:
    return CliError(message, code="usage", exit_code=USAGE, hint=hint)
