"""The audit lines of the delivery door: who was refused what, and why.

Why it exists: see node.audit; every refusal of a workload is accountable.
What it refuses to do: write a line for what was allowed; receipts tell who has what.
"""

from __future__ import annotations

from node.audit import AuditLog


class Audit(AuditLog):
    """The events `delivery.refused` and `delivery.withheld`."""

    def refused(self, peer: str, namespace: str, serviceaccount: str, pod: str, code: str, reason: str) -> None:
        """A stream that was not begun or was ended. The identity is "" until a token has been verified."""
        who = {"namespace": namespace, "serviceaccount": serviceaccount, "pod": pod}
        self.emit("delivery.refused", peer, {**who, "code": code, "reason": reason}, known=bool(namespace))

    def withheld(self, peer: str, namespace: str, serviceaccount: str, pod: str, code: str, name: str) -> None:
        """A secret that a sidecar asked for, or had, and may not have."""
        who = {"namespace": namespace, "serviceaccount": serviceaccount, "pod": pod}
        self.emit("delivery.withheld", peer, {**who, "code": code, "secret": name}, known=True)
