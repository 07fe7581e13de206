"""How far the newest version of one secret has come: (record, receipts, time) -> where each pod stands.

Why it exists: "has everyone got it?" needs one rule for who counts. A pod counts if it may have the secret, takes it,
and is there: connected, or gone for less than the time a sidecar needs to find another node. So a pod that was deleted
does not hold up a roll-out, and neither does a stranger's pod that names a secret it is not granted.
What it refuses to do: count what was sent. In place is what a pod says it has in place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from node.delivery import policy
from node.delivery.ports import Record
from node.delivery.receipts import Receipt
from sidecar.wire import codes

FORGIVEN_MS: Final = 120_000
"""A sidecar that lost its node is back within seconds, or, if all refuse it, tries again within half a minute. One that
is away for longer is shown and does not count."""
BEHIND: Final = "behind"
RENDER_FAILED: Final = "render_failed"
AHEAD: Final = "ahead"
"""It has a version that this store has never had: of another store, or of one restored from an older backup."""
STALE: Final = "stale"
DISCONNECTED: Final = "disconnected"


@dataclass(frozen=True, slots=True)
class Standing:
    """One pod. `version`: of this secret in its files, None for none; `reason`: a code, "" if it is done; `detail`: in
    words, also of what does not hold it up; `counts`: whether it has to be done for the roll-out to be complete."""

    pod: str
    namespace: str
    serviceaccount: str
    node: str
    connected: bool
    since_ms: int
    at_ms: int
    version: int | None
    reason: str
    detail: str
    counts: bool

    def view(self) -> dict[str, object]:
        return asdict(self)


def concerns(record: Record, receipt: Receipt) -> bool:
    """Whether this pod has to do with the secret: it names it, has it, or takes everything it is granted. An init
    container ends by itself, and one that said goodbye is done with."""
    if receipt.mode == "init" or receipt.left:
        return False
    if record.name in receipt.placed or record.name in receipt.want:
        return True
    return not receipt.want and policy.granted(record.grants, receipt.namespace, receipt.serviceaccount)


def worse(one: Standing, other: Standing) -> Standing:
    """Of two sidecars of one pod the one that holds the roll-out up; the first if neither does."""
    return other if other.counts and other.reason and not (one.counts and one.reason) else one


def stand(record: Record, receipt: Receipt, wall_ms: int, stale: bool, applied: int) -> Standing:
    """`stale`: whether this node has lost touch with the majority; `applied`: log index that the record is as of. A
    receipt of a later one may have a later version."""
    _, code = policy.entitled(record, receipt.namespace, receipt.serviceaccount, wall_ms)
    version = receipt.placed.get(record.name)
    report = receipt.report
    gone = not receipt.connected and not 0 <= wall_ms - receipt.since_ms < FORGIVEN_MS
    detail = f"notify: {report.notify}" if report is not None and report.notify else ""
    if code:
        reason = code
    elif receipt.error == codes.BEHIND and not receipt.connected:
        reason, detail = AHEAD, f"refused: it has seen index {receipt.index}, which this store has not reached"
    elif version is not None and version > record.version and receipt.index <= applied:
        reason, detail = AHEAD, f"this store has had {record.version} at the most"
    elif version is not None and version >= record.version:
        reason = RENDER_FAILED if report is not None and report.render else ""
        detail = report.render if report is not None and reason else detail
    elif receipt.error in (codes.NO_SPACE, codes.WRITE_FAILED):
        reason = receipt.error
    elif not receipt.connected:
        reason = DISCONNECTED
    else:
        reason = STALE if stale else BEHIND
        detail = receipt.error or detail
    return Standing(
        pod=receipt.pod,
        namespace=receipt.namespace,
        serviceaccount=receipt.serviceaccount,
        node=receipt.node,
        connected=receipt.connected,
        since_ms=receipt.since_ms,
        at_ms=receipt.at_ms,
        version=version,
        reason=reason,
        detail=detail,
        counts=not gone and code != codes.NOT_GRANTED,
    )
