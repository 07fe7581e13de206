"""Points in time as people write them: RFC 3339, or from now on (30d), or `never`.

Why it exists: a window of validity must mean the same whoever reads it.
What it refuses to do: a time without a zone; it would depend on where the command ran.
"""

from __future__ import annotations

import contextlib
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    MomentType = click.ParamType["int | str"]
else:  # generic in the newest click only
    MomentType = click.ParamType

NEVER: Final = "never"
"""No such bound."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
HOW: Final = "write 2027-01-31T12:00:00Z, or 30d (from now on: s, m, h, d, w), or never"


def is_duration(text: str) -> bool:
    return _DURATION.fullmatch(text) is not None


def parse(text: str, now: float) -> int | None:
    """Milliseconds since the epoch; None for `never`. `now` in seconds. Raises ValueError, without the text."""
    if text == NEVER:
        return None
    duration = _DURATION.fullmatch(text)
    if duration is not None:
        return round((now + int(duration.group(1)) * _UNITS[duration.group(2)]) * 1000)
    ms = -1
    if _RFC3339.fullmatch(text):
        with contextlib.suppress(ValueError, OverflowError):  # no such day
            ms = round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    if ms < 0:
        raise ValueError(HOW)
    return ms


class Moment(MomentType):
    """Text -> milliseconds, or NEVER."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int) or value == NEVER:
            return value  # type: ignore[no-any-return]
        ms: int | None = None
        try:
            ms = parse(str(value), time.time())
        except ValueError:
            ms = None
        if ms is None:
            self.fail(f"it is no point in time. {HOW[0].upper()}{HOW[1:]}", param, ctx)
        return ms


MOMENT = Moment()


def bound(given: int | str | None) -> int | None:
    """What goes into a body: the time, or null."""
    return given if isinstance(given, int) else None
