"""One line per request to the admin API: who did what to which name, and what came of it.

Why it exists: see node.audit; these are the admins' events.
What it refuses to do: hold a query or a body, or a name as the caller spelled it, unless it is a well-formed name
(anything else may be a value pasted into the wrong place).
"""

from __future__ import annotations

from typing import Final

from node.admin.context import Context
from node.audit import AuditLog
from node.store.commands import is_grant

GROUPS: Final = 32
"""Groups of a person in one line; some identity providers send hundreds."""
GRANTS: Final = 64
"""Workloads in one line, of each kind; a secret may have 4096."""


class Audit(AuditLog):
    """The events `admin.<action>`."""

    def write(self, context: Context, took_ms: int, status: int, result: str) -> None:
        """`result` is "ok" or the stable code. `secret`, `version`, `index` and `reason` are null unless the request
        had them. An action on several secrets has a line for each."""
        for name, version in context.several or ((context.name, context.version),):
            self._line(context, name, version, took_ms, status, result)

    def _line(
        self, context: Context, name: str | None, version: int | None, took_ms: int, status: int, result: str
    ) -> None:
        fields = {
            "subject": context.subject,
            "groups": [] if context.person is None else list(context.person.groups[:GROUPS]),
            "secret": name,
            "version": version,
            "index": context.index,
            "status": status,
            "result": result,
            "reason": context.reason,
            "took_ms": took_ms,
            "request_id": context.request_id,
        }
        for what, grants in context.grants.get(name or "", {}).items():
            # Only what is a grant by its form: anything else may be a value in the wrong place.
            fields[f"grants_{what}"] = [grant for grant in grants if is_grant(grant)][:GRANTS]
            fields[f"grants_{what}_count"] = len(grants)
        # Who asks too much is refused at no cost to him: his refusals are counted, and not all of them are lines.
        known = context.subject is not None and result != "too_many_requests"
        self.emit(f"admin.{context.action}", context.remote, fields, known=known)
