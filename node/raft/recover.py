"""From what the disk holds to a core that may start: WAL, snapshot, and where the two disagree.

Why it exists: the order matters and is used by the real node and the simulator alike. A snapshot installed just
before a crash may be newer than the log; the log never outranks a durable snapshot.
What it refuses to do: drop an entry that the snapshot does not cover.
"""

from __future__ import annotations

from node.raft.log import Log
from node.raft.ports import SnapshotFiles


def align(log: Log, snapshots: SnapshotFiles) -> None:
    """Bring the log in line with the newest snapshot: if it does not continue it, it restarts after it."""
    latest = snapshots.latest()
    if latest is None or log.base_index > latest.index:
        return  # nothing to align; a gap is found, and refused, by the core
    if log.term_at(latest.index) != latest.term:
        log.reset(latest.index, latest.term)
