"""How starting or running a development cluster fails: one line, and what the processes had to say.

Why it exists: whoever types `safe dev` first must learn from one line what is in the way.
What it refuses to do: hold a value or a token.
"""

from __future__ import annotations

from statefulset.cli.errors import REFUSED, CliError


class DevError(CliError):
    """`message` is the line; `details` are lines of logs that belong to it, printed before it."""

    def __init__(self, message: str, *, code: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message, code=code, exit_code=REFUSED)
        self.details = details
