"""One JSON line per request to the admin API: who did what to which name, and what came of it (G10).

Why it exists: "who granted this, and when" must be answerable from the log alone.
What it refuses to do: hold a value, a token, a query or a body; or a name as the caller spelled it, unless it is a
well-formed name (anything else may be a value pasted into the wrong place).
"""

from __future__ import annotations

import json
import logging
from typing import IO

from node.admin.context import Context

log = logging.getLogger("audit")


def install(stream: IO[str]) -> None:
    """Send the lines, bare, to `stream` (standard output in a pod) and to nothing else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def write(context: Context, node: str, at_ms: int, took_ms: int, status: int, result: str) -> None:
    """`result` is "ok" or the stable code; `version` and `index` are null unless the request had one to tell."""
    line = {
        "audit": 1,
        "at_ms": at_ms,
        "request_id": context.request_id,
        "node": node,
        "subject": context.subject,
        "remote": context.remote,
        "action": context.action,
        "name": context.name,
        "version": context.version,
        "index": context.index,
        "status": status,
        "result": result,
        "took_ms": took_ms,
    }
    log.info("%s", json.dumps(line, separators=(",", ":")))
