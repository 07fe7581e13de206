"""Handlers about secrets: authorise (middleware), validate, seal, propose, answer.

Why it exists: the whole path of a write on this side of the log, short enough to be read in one go.
What it refuses to do: return a value, propose one that is not sealed, or decide what depends on the stored data; the
store does, in the order of the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
from aiohttp import web

from node.admin import bodies, context, problem
from node.admin.limits import Limits
from node.admin.services import Services
from node.errors import Rejected, Retry
from node.store import commands
from node.store.records import Record

PAGE = 100
STALE = "Raftsafe-Stale"


def view(record: Record) -> dict[str, Any]:
    """A record's metadata as JSON: names, sizes, times in ms, never a sealed blob."""
    return {
        "name": record.name,
        "version": record.version,
        "created_ms": record.created_ms,
        "updated_ms": record.updated_ms,
        "not_before_ms": record.not_before_ms,
        "expires_ms": record.expires_ms,
        "fields": [{"name": name, "size": size} for name, size in record.fields],
        "grants": list(record.grants),
        "deleted": record.deleted,
        "index": record.index,
    }
